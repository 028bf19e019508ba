/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fmsg - messages between the agent and one of its file helpers, over a socket pair: u32 length of the payload | u8 type | payload, in the
 * machine's own byte order. One request at a time:
 *
 *   agent  -> REQUEST  u8 op | name\0 value\0 ...
 *   helper -> GO       the body is wanted                    agent -> DATA ... END
 *   helper -> TICK     still at work
 *   helper -> HEAD     struct fmsg_head | name\0 value\0 ... DATA ... END          (headers of the answer, its body)
 *   helper -> ERROR    struct fmsg_head | code\0 message\0 name\0 value\0 ...
 *
 * ERROR and END end the request; the helper then waits for the next one, unless the body was still under way: then the socket is closed.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

enum fmsg_type {
    FMSG_REQUEST = 1, FMSG_DATA, FMSG_END, /* both ways: DATA, END */
    FMSG_GO, FMSG_TICK, FMSG_HEAD, FMSG_ERROR,
};

enum { FMSG_HEAD_SIZE = 5, FMSG_DATA_MAX = 128 * KIB, FMSG_CONTROL_MAX = 64 * KIB };

struct fmsg_head {
    int64_t length; /* of the answer's body; -1 = not known */
    uint32_t status;
};

enum fop_code { FOP_READ = 1, FOP_WRITE, FOP_STAT, FOP_EXISTS, FOP_MOVE, FOP_DELETE, FOP_MKDIR, FOP_LIST, FOP_COUNT };

static inline void fmsg_put_head(uint8_t out[FMSG_HEAD_SIZE], uint32_t len, enum fmsg_type type)
{
    __builtin_memcpy(out, &len, 4);
    out[4] = (uint8_t) type;
}
static inline uint32_t fmsg_len(const uint8_t head[FMSG_HEAD_SIZE])
{
    uint32_t len;

    __builtin_memcpy(&len, head, 4);
    return len;
}

/* The value of a name in "name\0value\0..."; NULL when absent or when the text is not well-formed. */
const char *fmsg_get(const char *pairs, size_t len, const char *name);
