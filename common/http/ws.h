/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ws - WebSocket (RFC 6455), server side. No extensions, Origin is ignored. Messages are assembled up to a limit (else close 1009);
 * masks, RSV bits, opcodes, UTF-8 of text, control frame rules are checked (1002, 1007). Ping is answered; we ping after
 * ping_ms of silence and end after three unanswered ones. Close is echoed at once.
 * Messages read before a close or reset are delivered before on_close; a paused socket whose peer turns out to be gone (looked at every
 * ping_ms) delivers what it has read, 256 KiB at most, without waiting for the end of the pause.
 * After a violation on_close gets the code that was sent (1002, 1007, 1009).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"

struct http_req;
struct ws;

struct ws_conf {
    size_t message_bytes_max; /* default 16 MiB */
    size_t queue_bytes;       /* high water, default 256 KiB */
    uint32_t ping_ms;         /* default 25,000 */
    const char *protocol;     /* Sec-WebSocket-Protocol to answer, or NULL */
};
struct ws_ops {
    void (*on_message)(void *arg, bool text, const void *p, size_t len); /* borrowed */
    void (*on_close)(void *arg, int code); /* last call, once: peer's close code, 1005 without, 1006 for a cut. ws is dead after it. */
    void (*on_drain)(void *arg);           /* output queue fell below a quarter of queue_bytes */
};
/* Whether the request asks for a WebSocket. */
bool ws_wanted(const struct http_req *r);
/* Answers 101, or 400/426 itself (then returns > 0 and the request is done). The request is consumed either way. */
int ws_accept(struct http_req *r, const struct ws_conf *conf, const struct ws_ops *ops, void *arg, struct ws **out) must_check;
size_t ws_send_text(struct ws *w, const void *p, size_t len); /* returns bytes queued; after close: ignored, 0 */
/* Header and payload in parts, one message, no copy into a third buffer. */
struct iovec;
size_t ws_send_textv(struct ws *w, const struct iovec *iov, int n);
size_t ws_send_binary(struct ws *w, const void *p, size_t len);
size_t ws_queued(const struct ws *w);
void ws_pause(struct ws *w, bool paused);                     /* back-pressure: stop reading */
void ws_close(struct ws *w, int code, const char *reason);    /* queued messages go out first; on_close follows (echo or 5 s) */
void ws_cut(struct ws *w);                                    /* at once; on_close is not called */

/* ---- the codec, for tests, fuzzing and other users ---- */
struct ws_frame_head {
    bool fin, masked;
    uint8_t opcode;
    uint8_t mask[4];
    uint64_t len;
    unsigned head_len;
};
enum { WS_E_OK, WS_E_MORE, WS_E_PROTOCOL, WS_E_TOO_LARGE };
int ws_parse_head(const void *p, size_t len, bool want_mask, uint64_t bytes_max, struct ws_frame_head *out) must_check;
unsigned ws_write_head(uint8_t out[14], bool fin, uint8_t opcode, uint64_t len); /* unmasked; bytes written */
void ws_unmask(uint8_t *p, size_t len, const uint8_t mask[4], size_t offset);
