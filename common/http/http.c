/* SPDX-License-Identifier: Apache-2.0 */
/* http - see http.h; also the limits, the shared read buffer and the date that the engine's files use. */
#include "common/http/http_internal.h"
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define T (HTTP_CH_TOKEN | HTTP_CH_VALUE | HTTP_CH_TARGET)
#define V (HTTP_CH_VALUE | HTTP_CH_TARGET)
#define W HTTP_CH_VALUE

/* tchar of RFC 9110 5.6.2; field values take HTAB, SP, VCHAR and obs-text; targets take VCHAR without '#' and raw UTF-8. */
const uint8_t http_char_class[256] = {
    ['\t'] = W, [' '] = W, ['!'] = T, ['"'] = V, ['#'] = HTTP_CH_TOKEN | W, ['$' ... '\''] = T,
    ['('] = V, [')'] = V, ['*'] = T, ['+'] = T, [','] = V, ['-'] = T, ['.'] = T, ['/'] = V,
    ['0' ... '9'] = T, [':' ... '@'] = V, ['A' ... 'Z'] = T, ['['] = V, ['\\'] = V, [']'] = V,
    ['^'] = T, ['_'] = T, ['`'] = T, ['a' ... 'z'] = T, ['{'] = V, ['|'] = T, ['}'] = V, ['~'] = T,
    [0x80 ... 0xff] = V,
};
#undef T
#undef V
#undef W

static uint32_t or_default(uint32_t v, uint32_t fallback)
{
    return v ? v : fallback;
}

struct http_limits http_limits_fill(const struct http_limits *lim)
{
    return (struct http_limits){
        .head_bytes_max = or_default(lim->head_bytes_max, 32 * KIB),
        .header_count_max = or_default(lim->header_count_max, 100),
        .head_ms = or_default(lim->head_ms, 10000),
        .idle_ms = or_default(lim->idle_ms, 75000),
        .body_idle_ms = or_default(lim->body_idle_ms, 60000),
        .write_idle_ms = or_default(lim->write_idle_ms, 60000),
        .queue_bytes = or_default(lim->queue_bytes, 256 * KIB),
        .conns_max = or_default(lim->conns_max, 10000),
        .conns_per_peer_max = lim->conns_per_peer_max,
    };
}

const char *http_headers_get(const struct http_headers *h, const char *name)
{
    for (size_t i = 0; i < h->count; i++) {
        if (strcasecmp(h->items[i].name, name) == 0)
            return h->items[i].value;
    }
    return NULL;
}

bool http_value_has_token(const char *value, const char *token)
{
    size_t len = strlen(token);

    for (const char *s = value; *s;) {
        s += strspn(s, " \t,");
        size_t item = strcspn(s, ","), word = item;

        while (word && (s[word - 1] == ' ' || s[word - 1] == '\t'))
            word--;
        if (word == len && strncasecmp(s, token, len) == 0)
            return true;
        s += item;
    }
    return false;
}

bool http_headers_has_token(const struct http_headers *h, const char *name, const char *token)
{
    for (size_t i = 0; i < h->count; i++) {
        if (strcasecmp(h->items[i].name, name) == 0 && http_value_has_token(h->items[i].value, token))
            return true;
    }
    return false;
}

bool http_header_sendable(const char *name, const char *value)
{
    if (!*name)
        return false;
    for (const char *s = name; *s; s++) {
        if (!http_is_token_char((unsigned char) *s))
            return false;
    }
    return !value[strcspn(value, "\r\n")];
}

bool http_is_hop_by_hop(const char *name)
{
    static const char *const names[] = {
        "connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade", "content-length",
        "proxy-authenticate", "proxy-authorization",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {100, "Continue"}, {101, "Switching Protocols"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"},
        {204, "No Content"}, {206, "Partial Content"}, {207, "Multi-Status"}, {301, "Moved Permanently"}, {302, "Found"},
        {303, "See Other"}, {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
        {400, "Bad Request"}, {401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"}, {404, "Not Found"},
        {405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
        {411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
        {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
        {421, "Misdirected Request"}, {422, "Unprocessable Content"}, {423, "Locked"}, {425, "Too Early"},
        {426, "Upgrade Required"}, {428, "Precondition Required"}, {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"}, {499, "Client Closed Request"}, {500, "Internal Server Error"},
        {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return status >= 500 ? "Error" : status >= 400 ? "Refused" : status >= 300 ? "Redirect" : "Done";
}

/* ---- the shared read buffer ---- */

static _Thread_local uint8_t *scratch; /* kept for the thread's life */
static _Thread_local bool scratch_taken;

uint8_t *http_scratch_take(void)
{
    assert(!scratch_taken);
    scratch_taken = true;
    if (!scratch)
        scratch = xmalloc(HTTP_SCRATCH_BYTES);
    return scratch;
}

void http_scratch_give(void)
{
    assert(scratch_taken);
    scratch_taken = false;
}

/* ---- sockets ---- */

void http_keepalive(int fd, int idle_s)
{
    int on = 1, interval = 10, count = 6;

    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* ---- date ---- */

const char *http_date(void)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static _Thread_local char text[64];
    static _Thread_local int64_t made_for = -1;
    int64_t now = clock_real_ms() / 1000;

    if (now != made_for) {
        time_t t = (time_t) now;
        struct tm tm;

        gmtime_r(&t, &tm);
        snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday,
                 months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        made_for = now;
    }
    return text;
}
