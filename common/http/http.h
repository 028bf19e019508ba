/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* http - names that all parts of the engine share: methods, limits, header lists, status texts. RFC 9110, RFC 9112. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct arena;

enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_DELETE = 16,
    HTTP_PATCH = 32,
    HTTP_OPTIONS = 64,
    HTTP_OTHER = 128, /* a valid token of another name: only a relay may carry it */
};

struct http_header {
    const char *name; /* as it came; compare without case */
    const char *value;
};

struct http_headers {
    struct http_header *items;
    size_t count;
};

const char *http_headers_get(const struct http_headers *h, const char *name); /* the first, or NULL */
/* Whether a comma-separated header holds the token (no case), over all lines of that name. */
bool http_headers_has_token(const struct http_headers *h, const char *name, const char *token);
const char *http_status_text(int status);

/* Deadlines and limits; zeros mean the defaults that stand beside. */
struct http_limits {
    uint32_t head_bytes_max;     /* 32 KiB: request or status line and headers */
    uint32_t header_count_max;   /* 100 */
    uint32_t head_ms;            /* 10,000: first byte of a head to its end */
    uint32_t idle_ms;            /* 75,000: between requests */
    uint32_t body_idle_ms;       /* 60,000: without a byte of a body that is wanted */
    uint32_t write_idle_ms;      /* 60,000: without progress of an answer that is queued */
    uint32_t queue_bytes;        /* 256 KiB: high water of an output queue; producers pause above it */
    uint32_t conns_max;          /* 10,000 */
    uint32_t conns_per_peer_max; /* 0 = no limit */
};
