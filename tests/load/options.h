/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* options - the command line of bivouac-load. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_mode { LOAD_WS_IDLE, LOAD_WS_PROCESS, LOAD_WS_ECHO, LOAD_HTTP };

struct options {
    enum load_mode mode;
    char *url_copy;          /* owned; the parts below point into it */
    const char *scheme;      /* "ws" | "wss" | "http" | "https" */
    const char *address;
    char path[4096];         /* with its '/' and query */
    int port;
    bool tls, insecure;
    const char *host_header; /* default: address:port */
    const char *token;       /* from --token or --token-file */
    char token_text[4096];
    unsigned conns, opening_max;
    double hold_s, timeout_s;
    /* process, echo, idle */
    const char *start;       /* JSON of the start frame, or NULL: only watch */
    bool check_lines;        /* stdout is "0\n1\n2\n..." */
    uint64_t since;          /* of a connect URL: the first cursor must be above it */
    unsigned rounds;         /* echo */
    size_t bytes;            /* echo: per round; http: body of a PUT or POST */
    /* http */
    const char *method;
    unsigned requests;       /* in all */
};

/* 0, or prints to stderr and returns the exit code. */
int options_parse(struct options *o, int argc, char **argv);
void options_deinit(struct options *o);
