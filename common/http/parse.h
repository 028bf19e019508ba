/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * parse - strict HTTP/1.1 head parser and chunked decoder; no I/O. Refuses what proxies disagree on: CL with TE, two CLs,
 * other transfer codings, spaces before the colon, obs-fold, bare LF or CR, NUL, bad tokens, HTTP/1.0 with TE, more than one Host,
 * a target that is not origin-form (or "*" for OPTIONS).
 */
#include <sys/types.h>
#include "common/http/http.h"

enum {
    HTTP_E_OK,
    HTTP_E_MORE,        /* not complete yet */
    HTTP_E_BAD,         /* 400 */
    HTTP_E_TOO_LARGE,   /* 431 */
    HTTP_E_VERSION,     /* 505 */
    HTTP_E_UNSUPPORTED, /* 501: transfer coding */
};

enum { HTTP_BODY_NONE = 0, HTTP_BODY_CHUNKED = -1, HTTP_BODY_UNTIL_CLOSE = -2 /* responses only */ };

struct http_head {
    enum http_method method;
    const char *method_text;
    const char *target;       /* raw */
    int status;               /* responses */
    bool http10;
    bool keep_alive;
    bool expect_continue;
    bool upgrade;             /* Connection: upgrade with an Upgrade header */
    int64_t body;             /* >= 0 Content-Length, or HTTP_BODY_* */
    const char *host;         /* lower case, without port; NULL when absent (HTTP/1.0) */
    struct http_headers headers;
};

/*
 * Parses one head at p. On HTTP_E_OK *used bytes belong to it and *out holds copies in the arena; otherwise *reason (may be NULL) is a
 * constant text for the client. head_request: for responses, whether the request was HEAD (no body then).
 */
int http_parse_request(const void *p, size_t len, const struct http_limits *lim, struct arena *a, struct http_head *out,
                       size_t *used, const char **reason) must_check;
int http_parse_response(const void *p, size_t len, const struct http_limits *lim, bool head_request, struct arena *a,
                        struct http_head *out, size_t *used, const char **reason) must_check;

struct http_chunked {
    int state;
    uint64_t left;
    uint32_t line_bytes, trailer_bytes;
};
void http_chunked_init(struct http_chunked *c);
/*
 * Decodes: *data, *data_len is the next run of body bytes inside p (may be empty); returns bytes of p that are used up, or -EBADMSG.
 * *done is set once the last chunk and trailers were read (trailers are dropped).
 */
ssize_t http_chunked_next(struct http_chunked *c, const void *p, size_t len, const uint8_t **data, size_t *data_len, bool *done) must_check;
