/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse - see parse.h
 * Two steps: http_head_scan() finds the end of a head as bytes arrive, line by line; then the head is copied once into the arena and cut
 * in place there, each byte checked against its class. Every refusal has a reason of its own.
 */
#include "common/http/parse.h"
#include <string.h>
#include <strings.h>
#include "common/base/arena.h"
#include "common/http/http_internal.h"

struct cursor {
    char *at;         /* in the arena's copy; the head's last four bytes are CR LF CR LF, then NUL */
    struct arena *arena;
    const char *reason;
    const char *host, *length, *coding, *expect, *upgrade; /* values of the headers that frame the message */
    bool connection_close, connection_keep, connection_upgrade;
};

static int refuse(struct cursor *c, int r, const char *reason)
{
    c->reason = reason;
    return r;
}

/* ---- the end of the head ---- */

int http_head_scan(const uint8_t *p, size_t len, const struct http_limits *lim, size_t *scanned, size_t *end,
                   const char **reason)
{
    size_t line = *scanned;

    if (line == 0 && len) {
        if (p[0] == '\r' && len == 1)
            return HTTP_E_MORE;
        if (p[0] == '\r' && p[1] == '\n')
            line = 2; /* RFC 9112 2.2: an empty line before the request line is forgiven, once */
        else if (!http_is_token_char(p[0]))
            return *reason = "the first byte cannot begin a message", HTTP_E_BAD;
    }
    for (;;) {
        const uint8_t *nl = len > line ? memchr(p + line, '\n', len - line) : NULL;

        *scanned = line;
        if (!nl) {
            if (len < lim->head_bytes_max)
                return HTTP_E_MORE;
            return *reason = "the head is too large", HTTP_E_TOO_LARGE;
        }
        size_t next = (size_t) (nl - p) + 1;

        if (next > lim->head_bytes_max)
            return *reason = "the head is too large", HTTP_E_TOO_LARGE;
        if (next - line < 2 || p[next - 2] != '\r')
            return *reason = "a line ends with a bare line feed", HTTP_E_BAD;
        if (next - line == 2) {
            *end = next;
            return HTTP_E_OK;
        }
        line = next;
    }
}

/* ---- header lines ---- */

/* Cuts "name: value CR LF" at c->at; the value is trimmed. */
static int take_header(struct cursor *c, struct http_header *out)
{
    char *s = c->at, *end;

    if (*s == ' ' || *s == '\t')
        return refuse(c, HTTP_E_BAD, "a header line begins with white space (folded header)");
    out->name = s;
    while (http_is_token_char((unsigned char) *s))
        s++;
    if (*s != ':') {
        if (*s == ' ' || *s == '\t')
            return refuse(c, HTTP_E_BAD, "white space before the colon of a header");
        if (*s == '\r')
            return refuse(c, HTTP_E_BAD, "a header line without a colon");
        return refuse(c, HTTP_E_BAD, "a header name has a character that is not allowed");
    }
    if (s == out->name)
        return refuse(c, HTTP_E_BAD, "a header without a name");
    *s++ = '\0';
    while (*s == ' ' || *s == '\t')
        s++;
    out->value = s;
    while (http_char_class[(unsigned char) *s] & HTTP_CH_VALUE)
        s++;
    if (*s != '\r')
        return refuse(c, HTTP_E_BAD, *s ? "a header value has a control character" : "a header value has a NUL");
    if (s[1] != '\n')
        return refuse(c, HTTP_E_BAD, "a bare carriage return");
    for (end = s; end > out->value && (end[-1] == ' ' || end[-1] == '\t');)
        end--;
    *end = '\0';
    c->at = s + 2;
    return HTTP_E_OK;
}

/* Remembers the headers that decide about framing and refuses what must not be there twice. */
static int note_header(struct cursor *c, const struct http_header *h, size_t name_len)
{
    switch (name_len) {
    case 4:
        if (strcasecmp(h->name, "host") == 0) {
            if (c->host)
                return refuse(c, HTTP_E_BAD, "more than one Host header");
            c->host = h->value;
        }
        break;
    case 6:
        if (strcasecmp(h->name, "expect") == 0)
            c->expect = h->value;
        break;
    case 7:
        if (strcasecmp(h->name, "upgrade") == 0)
            c->upgrade = h->value;
        break;
    case 10:
        if (strcasecmp(h->name, "connection") == 0) {
            c->connection_close |= http_value_has_token(h->value, "close");
            c->connection_keep |= http_value_has_token(h->value, "keep-alive");
            c->connection_upgrade |= http_value_has_token(h->value, "upgrade");
        }
        break;
    case 14:
        if (strcasecmp(h->name, "content-length") == 0) {
            if (c->length)
                return refuse(c, HTTP_E_BAD, "more than one Content-Length header");
            c->length = h->value;
        }
        break;
    case 17:
        if (strcasecmp(h->name, "transfer-encoding") == 0) {
            if (c->coding)
                return refuse(c, HTTP_E_BAD, "more than one Transfer-Encoding header");
            c->coding = h->value;
        }
        break;
    }
    return HTTP_E_OK;
}

static int take_headers(struct cursor *c, size_t lines, const struct http_limits *lim, struct http_headers *out)
{
    int r;

    if (lines > lim->header_count_max)
        return refuse(c, HTTP_E_TOO_LARGE, "too many headers");
    out->count = 0;
    out->items = arena_alloc(c->arena, (lines + 1) * sizeof(*out->items));
    if (!out->items)
        return refuse(c, HTTP_E_TOO_LARGE, "the head does not fit into the request's memory");
    while (*c->at != '\r') {
        struct http_header *h = &out->items[out->count++];
        const char *name = c->at;

        r = take_header(c, h);
        if (r)
            return r;
        r = note_header(c, h, strlen(name));
        if (r)
            return r;
    }
    if (c->at[1] != '\n')
        return refuse(c, HTTP_E_BAD, "a bare carriage return");
    return HTTP_E_OK;
}

/* ---- framing ---- */

static int parse_length(struct cursor *c, int64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;

    for (const char *s = c->length; *s; s++, n++) {
        if (*s < '0' || *s > '9' || n == 18)
            return refuse(c, HTTP_E_BAD, *s == ',' ? "Content-Length is a list" : "Content-Length is not a number");
        v = v * 10 + (uint64_t) (*s - '0');
    }
    if (!n)
        return refuse(c, HTTP_E_BAD, "Content-Length is empty");
    *out = (int64_t) v;
    return HTTP_E_OK;
}

/* What Content-Length and Transfer-Encoding say; `none` when there is neither. */
static int frame_body(struct cursor *c, bool http10, int64_t none, int64_t *out)
{
    *out = none;
    if (c->coding && c->length)
        return refuse(c, HTTP_E_BAD, "both Content-Length and Transfer-Encoding");
    if (c->coding && http10)
        return refuse(c, HTTP_E_BAD, "Transfer-Encoding in an HTTP/1.0 message");
    if (c->coding && strcasecmp(c->coding, "chunked") != 0)
        return refuse(c, HTTP_E_UNSUPPORTED, "only the transfer coding 'chunked' is supported");
    if (c->coding)
        *out = HTTP_BODY_CHUNKED;
    return c->length ? parse_length(c, out) : HTTP_E_OK;
}

static bool keeps_alive(const struct cursor *c, bool http10)
{
    return !c->connection_close && (!http10 || c->connection_keep);
}

/* "HTTP/1.x" at s. */
static int take_version(struct cursor *c, const char *s, bool *http10)
{
    if (strncmp(s, "HTTP/", 5) != 0 || s[5] < '0' || s[5] > '9' || s[6] != '.' || s[7] < '0' || s[7] > '9')
        return refuse(c, HTTP_E_BAD, "the protocol version is malformed");
    if (s[5] != '1' || s[7] > '1')
        return refuse(c, HTTP_E_VERSION, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    *http10 = s[7] == '0';
    return HTTP_E_OK;
}

/* ---- host ---- */

static bool host_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* "name", "name:port", "[v6]", "[v6]:port": lower case, without port and without the root's dot. */
static int take_host(struct cursor *c, const char **out)
{
    char *copy = arena_strdup(c->arena, c->host), *s = copy;

    if (!copy)
        return refuse(c, HTTP_E_TOO_LARGE, "the head does not fit into the request's memory");
    for (char *x = copy; *x; x++) {
        if (*x >= 'A' && *x <= 'Z')
            *x = (char) (*x - 'A' + 'a');
    }
    if (*s == '[') {
        s += 1 + strspn(s + 1, "0123456789abcdef:.");
        if (*s != ']' || s < copy + 3)
            return refuse(c, HTTP_E_BAD, "the Host header holds a malformed address");
        s++;
    } else {
        while (host_is_name_char(*s))
            s++;
        if (s == copy)
            return refuse(c, HTTP_E_BAD, "the Host header is empty or malformed");
    }
    if (*s == ':' && strspn(s + 1, "0123456789") == strlen(s + 1) && strlen(s + 1) <= 5)
        *s = '\0';
    if (*s)
        return refuse(c, HTTP_E_BAD, "the Host header is malformed");
    if (s > copy + 1 && s[-1] == '.')
        s[-1] = '\0';
    *out = copy;
    return HTTP_E_OK;
}

/* ---- requests ---- */

static enum http_method method_of(const char *s)
{
    static const struct {
        char name[8];
        enum http_method method;
    } methods[] = {
        {"GET", HTTP_GET}, {"POST", HTTP_POST}, {"PUT", HTTP_PUT}, {"HEAD", HTTP_HEAD}, {"DELETE", HTTP_DELETE},
        {"PATCH", HTTP_PATCH}, {"OPTIONS", HTTP_OPTIONS},
    };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (strcmp(s, methods[i].name) == 0)
            return methods[i].method;
    }
    return HTTP_OTHER;
}

static int take_request_line(struct cursor *c, struct http_head *out)
{
    char *s = c->at, *target;
    int r;

    while (http_is_token_char((unsigned char) *s))
        s++;
    if (s == c->at || *s != ' ')
        return refuse(c, HTTP_E_BAD, s == c->at ? "the request line is empty" : "the method is malformed");
    if (s - c->at > 32)
        return refuse(c, HTTP_E_BAD, "the method's name is too long");
    *s++ = '\0';
    out->method_text = c->at;
    out->method = method_of(c->at);
    target = s;
    while (http_char_class[(unsigned char) *s] & HTTP_CH_TARGET)
        s++;
    if (*s != ' ') {
        if (*s == '\r')
            return refuse(c, HTTP_E_BAD, "the request line has no protocol version");
        return refuse(c, HTTP_E_BAD, "the request target has a character that is not allowed");
    }
    *s++ = '\0';
    r = take_version(c, s, &out->http10);
    if (r)
        return r;
    if (s[8] != '\r' || s[9] != '\n')
        return refuse(c, HTTP_E_BAD, "bytes after the protocol version");
    if (*target != '/' && !(out->method == HTTP_OPTIONS && strcmp(target, "*") == 0))
        return refuse(c, HTTP_E_BAD, *target ? "the request target must begin with '/'" : "the request target is empty");
    out->target = target;
    c->at = s + 10;
    return HTTP_E_OK;
}

static int finish_request(struct cursor *c, struct http_head *out)
{
    int r;

    if (!c->host && !out->http10)
        return refuse(c, HTTP_E_BAD, "no Host header");
    if (c->host) {
        r = take_host(c, &out->host);
        if (r)
            return r;
    }
    r = frame_body(c, out->http10, HTTP_BODY_NONE, &out->body);
    if (r)
        return r;
    out->keep_alive = keeps_alive(c, out->http10);
    out->expect_continue = !out->http10 && c->expect && http_value_has_token(c->expect, "100-continue");
    /* With a body, nobody could say where the new protocol begins. */
    out->upgrade = !out->http10 && c->connection_upgrade && c->upgrade && out->body == HTTP_BODY_NONE;
    return HTTP_E_OK;
}

/* The arena's copy of the head, and how many header lines it has. */
static int begin_head(struct cursor *c, const uint8_t *p, size_t len, struct arena *a, size_t *lines)
{
    size_t feeds = 0;

    for (size_t i = 0; i < len; i++)
        feeds += p[i] == '\n';
    *lines = feeds >= 2 ? feeds - 2 : 0;
    c->arena = a;
    c->at = arena_strndup(a, (const char *) p, len);
    return c->at ? HTTP_E_OK : refuse(c, HTTP_E_TOO_LARGE, "the head does not fit into the request's memory");
}

static int parse_request(struct cursor *c, const uint8_t *p, size_t len, const struct http_limits *lim, struct arena *a,
                         struct http_head *out)
{
    size_t lines;
    int r;

    if (len >= 2 && p[0] == '\r' && p[1] == '\n') {
        p += 2;
        len -= 2;
    }
    r = begin_head(c, p, len, a, &lines);
    if (!r)
        r = take_request_line(c, out);
    if (!r)
        r = take_headers(c, lines, lim, &out->headers);
    return r ? r : finish_request(c, out);
}

int http_parse_request_whole(const uint8_t *p, size_t len, const struct http_limits *lim, struct arena *a,
                             struct http_head *out, const char **reason)
{
    struct cursor c = {0};
    struct http_head head = {0};
    int r = parse_request(&c, p, len, lim, a, &head);

    if (r)
        *reason = c.reason;
    else
        *out = head;
    return r;
}

int http_parse_request(const void *p, size_t len, const struct http_limits *lim, struct arena *a, struct http_head *out,
                       size_t *used, const char **reason)
{
    struct http_limits filled = http_limits_fill(lim);
    const char *why = NULL;
    size_t scanned = 0, end = 0;
    int r = http_head_scan(p, len, &filled, &scanned, &end, &why);

    if (!r)
        r = http_parse_request_whole(p, end, &filled, a, out, &why);
    if (!r)
        *used = end;
    else if (reason)
        *reason = why;
    return r;
}

/* ---- responses ---- */

static int take_status_line(struct cursor *c, struct http_head *out)
{
    char *s = c->at;
    int r = take_version(c, s, &out->http10);

    if (r)
        return r;
    if (s[8] != ' ')
        return refuse(c, HTTP_E_BAD, "the status line is malformed");
    s += 9;
    for (int i = 0; i < 3; i++) {
        if (s[i] < '0' || s[i] > '9')
            return refuse(c, HTTP_E_BAD, "the status code is not a number");
        out->status = out->status * 10 + (s[i] - '0');
    }
    if (out->status < 100 || out->status > 599)
        return refuse(c, HTTP_E_BAD, "the status code is out of range");
    s += 3;
    if (*s != ' ' && *s != '\r')
        return refuse(c, HTTP_E_BAD, "bytes after the status code");
    while (http_char_class[(unsigned char) *s] & HTTP_CH_VALUE)
        s++;
    if (*s != '\r' || s[1] != '\n')
        return refuse(c, HTTP_E_BAD, "the reason phrase has a control character");
    c->at = s + 2;
    return HTTP_E_OK;
}

static int finish_response(struct cursor *c, bool head_request, struct http_head *out)
{
    bool bodyless = head_request || out->status < 200 || out->status == 204 || out->status == 304;
    int r = frame_body(c, out->http10, HTTP_BODY_UNTIL_CLOSE, &out->body);

    if (r)
        return r;
    if (bodyless)
        out->body = HTTP_BODY_NONE;
    out->keep_alive = keeps_alive(c, out->http10) && out->body != HTTP_BODY_UNTIL_CLOSE;
    out->upgrade = c->connection_upgrade && c->upgrade;
    return HTTP_E_OK;
}

int http_parse_response_whole(const uint8_t *p, size_t len, const struct http_limits *lim, bool head_request,
                              struct arena *a, struct http_head *out, const char **reason)
{
    struct cursor c = {0};
    struct http_head head = {0};
    size_t lines;
    int r = begin_head(&c, p, len, a, &lines);

    if (!r)
        r = take_status_line(&c, &head);
    if (!r)
        r = take_headers(&c, lines, lim, &head.headers);
    if (!r)
        r = finish_response(&c, head_request, &head);
    if (r)
        *reason = c.reason;
    else
        *out = head;
    return r;
}

int http_parse_response(const void *p, size_t len, const struct http_limits *lim, bool head_request, struct arena *a,
                        struct http_head *out, size_t *used, const char **reason)
{
    struct http_limits filled = http_limits_fill(lim);
    const char *why = NULL;
    size_t scanned = 0, end = 0;
    int r = http_head_scan(p, len, &filled, &scanned, &end, &why);

    if (!r)
        r = http_parse_response_whole(p, end, &filled, head_request, a, out, &why);
    if (!r)
        *used = end;
    else if (reason)
        *reason = why;
    return r;
}
