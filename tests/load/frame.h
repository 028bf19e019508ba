/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * frame - one server frame of the process WebSocket, read by a scanner of its own: neither the product's JSON code nor its base64 takes
 * part in judging the product.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
    char type[24];
    const char *data; /* base64, points into the input; NULL when absent */
    size_t data_len;
    uint64_t cursor;
    bool has_cursor, has_exit_code;
    int64_t exit_code;
    char error[64];   /* exit: "" for null; error: code */
    char message[200];
};

/* NULL, or what is wrong with it. */
const char *frame_parse(struct frame *f, const char *p, size_t len);

/* Decodes base64 with padding; bytes, or -1. out holds len / 4 * 3. */
long frame_decode(const char *p, size_t len, unsigned char *out);

/* ---- what a stream of frames must be ---- */
struct frame_checker {
    bool check_lines;
    uint64_t since;      /* nothing at or below it but `started` */
    bool started, ended;
    uint64_t last;       /* cursor seen last; 0 = none */
    uint64_t frames, bytes;
    uint64_t next_line;  /* check_lines */
    char line[32];
    size_t line_len;
    int64_t exit_code;
    char exit_error[64];
    char trouble[400];   /* the first fault, "" when all was well */
};
/* Checks the frame's place in the stream: odd, contiguous, never repeated cursors; sizes; lines. Other frames (acks, pongs) pass. */
void frame_check(struct frame_checker *c, const struct frame *f);
