/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* http_internal - what the files of this folder share; never included outside. */
#include <stdint.h>
#include "common/http/http.h"
#include "common/http/parse.h"

/* Zeros replaced by the defaults that http.h names. */
struct http_limits http_limits_fill(const struct http_limits *lim);

/* Character classes. */
enum { HTTP_CH_TOKEN = 1, HTTP_CH_VALUE = 2, HTTP_CH_TARGET = 4 };
extern const uint8_t http_char_class[256];

static inline bool http_is_token_char(unsigned char c)
{
    return http_char_class[c] & HTTP_CH_TOKEN;
}

/* Whether a comma-separated value holds the token (no case). */
bool http_value_has_token(const char *value, const char *token);
/* A header name and value that may be sent: a token, and no CR, LF or NUL. */
bool http_header_sendable(const char *name, const char *value);
/* RFC 9110 7.6.1: names that end at the next hop. */
bool http_is_hop_by_hop(const char *name);

/*
 * The read buffer that all connections of a thread share: an idle connection holds none. Taken for the time of one read callback;
 * taking it twice asserts. The size is measured: 64 KiB cost half as much CPU again for a 64 MiB answer, 512 KiB gained nothing.
 */
enum { HTTP_SCRATCH_BYTES = 256 * 1024 };
uint8_t *http_scratch_take(void);
void http_scratch_give(void);

/* TCP keep-alive probes: a peer that vanished without a word ends the connection after idle_s + 60 s. Nothing on unix sockets. */
void http_keepalive(int fd, int idle_s);

/* "Sun, 06 Nov 1994 08:49:37 GMT", made once a second. */
enum { HTTP_DATE_LEN = 29 };
const char *http_date(void);

/*
 * Finds the end of a head without looking at a byte twice: *scanned is kept by the caller between calls, 0 at first. HTTP_E_OK: *end bytes
 * belong to the head. A leading empty line is skipped as part of the head.
 */
int http_head_scan(const uint8_t *p, size_t len, const struct http_limits *lim, size_t *scanned, size_t *end,
                   const char **reason);
/* A head that http_head_scan() delimited: `len` bytes, all of them. */
int http_parse_request_whole(const uint8_t *p, size_t len, const struct http_limits *lim, struct arena *a,
                             struct http_head *out, const char **reason);
int http_parse_response_whole(const uint8_t *p, size_t len, const struct http_limits *lim, bool head_request,
                              struct arena *a, struct http_head *out, const char **reason);
