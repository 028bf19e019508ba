/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * agent_link - the byte protocol between gateway and agent after the upgrade to bivouac-link/1. All integers little-endian.
 *
 *     message  = u32 length of what follows (1 .. LINK_MESSAGE_MAX) | u8 type | payload
 *
 * gateway -> agent                                   agent -> gateway
 *   START       req | json (link_start)               RESULT  req | json (link_result)
 *   STDIN       req | pid | bytes                     FRAME   u8 kind | u64 cursor | pid | data
 *   CLOSE_STDIN req | pid                             SYNCED  (all frames that were unacknowledged at the upgrade have been sent)
 *   SIGNAL      req | pid | json (link_signal)        PONG    u32
 *   RESIZE      req | pid | u16 cols | u16 rows       LOST    u64 from | u64 to | pid   (RESEND asked for frames no longer kept)
 *   ACK         u64 cursor | pid
 *   RESEND      u64 since | pid
 *   PING        u32
 *
 *   req = u32 chosen by the gateway, answered once by RESULT; pid = u8 length (1..128) | bytes.
 *
 * FRAME data: LINK_STARTED, LINK_EXIT: JSON (link_started, link_exit); LINK_STDOUT, LINK_STDERR, LINK_PTY: raw bytes, <= 64 KiB, no
 * valid UTF-8 character split. Cursors are 1, 3, 5 ... per process; `started` is 1. On a new link the agent sends, for every process it
 * keeps, the frames from the first unacknowledged one on, in order, and then goes on live. RESULT of START precedes the frame `started`.
 * A peer that breaks a rule is disconnected. Each side treats the other's bytes as hostile.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/json/json.h"

struct buf;

#define LINK_UPGRADE "bivouac-link/1"
enum { LINK_MESSAGE_MAX = 1024 * 1024, LINK_PID_MAX = 128, LINK_DATA_MAX = 64 * 1024 };

enum link_type {
    LINK_START = 1, LINK_STDIN, LINK_CLOSE_STDIN, LINK_SIGNAL, LINK_RESIZE, LINK_ACK, LINK_RESEND, LINK_PING,
    LINK_RESULT = 64, LINK_FRAME, LINK_SYNCED, LINK_PONG, LINK_LOST,
};
enum link_kind { LINK_STARTED = 1, LINK_STDOUT, LINK_STDERR, LINK_PTY, LINK_EXIT };

struct link_msg { /* borrowed pointers into the input */
    enum link_type type;
    uint32_t req;               /* START .. RESIZE, RESULT, PING, PONG */
    enum link_kind kind;        /* FRAME */
    uint64_t cursor, cursor_to; /* FRAME, ACK, RESEND (since), LOST (from, to) */
    const char *pid;            /* not NUL-terminated */
    uint8_t pid_len;
    uint16_t cols, rows;
    const uint8_t *data;        /* JSON or bytes */
    size_t data_len;
};

enum { LINK_E_OK, LINK_E_MORE, LINK_E_BAD };
/* Decodes one message at p; on LINK_E_OK *used bytes belong to it. Lengths, types, kinds and pids are checked, JSON is not. */
int link_decode(const void *p, size_t len, struct link_msg *out, size_t *used) must_check;
int link_encode(struct buf *out, const struct link_msg *m) must_check; /* -ENOBUFS, -EINVAL */

struct link_pty {
    int64_t cols, rows; /* 1..1000 */
};
struct link_start {
    char *id, *tag, *cmd, *cwd, *user;
    struct json_strings args;
    struct json_map env;
    bool stdin_open;      /* "stdin" */
    int64_t timeout_ms;   /* 0 = none */
    bool has_pty;
    struct link_pty pty;
};
struct link_result {
    char *error;     /* code, or NULL for success */
    char *message;
    char *pid;       /* START */
    int64_t os_pid;  /* START */
};
struct link_signal {
    int64_t signal;  /* 1..64 */
    bool group;
};
struct link_started {
    int64_t os_pid;
    int64_t started_at_us; /* unix */
    char *cmd, *cwd, *user, *tag;
    struct json_strings args;
    bool pty, stdin_open;
};
struct link_exit {
    int64_t exit_code;      /* 0..255, -N for signal N */
    char *error;            /* "killed" | "timeout" | NULL */
    int64_t finished_at_us;
};
extern const struct json_table link_start_table, link_result_table, link_signal_table, link_started_table, link_exit_table;
/* Writers of the same shapes, appended to out. */
int link_write_start(struct buf *out, const struct link_start *m) must_check;
int link_write_result(struct buf *out, const struct link_result *m) must_check;
int link_write_signal(struct buf *out, const struct link_signal *m) must_check;
int link_write_started(struct buf *out, const struct link_started *m) must_check;
int link_write_exit(struct buf *out, const struct link_exit *m) must_check;
