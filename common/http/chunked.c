/* SPDX-License-Identifier: Apache-2.0 */
/* chunked - the decoder of RFC 9112 7.1, see parse.h. Extensions are checked and dropped, and so are trailers. */
#include <errno.h>
#include <string.h>
#include "common/http/http_internal.h"

enum { CHUNK_LINE_MAX = 256, CHUNK_TRAILER_MAX = 8 * KIB, CHUNK_DIGITS_MAX = 15 };

enum chunk_state {
    CHUNK_SIZE,       /* hex digits; line_bytes counts them */
    CHUNK_EXT,        /* after the size: white space or ";..." up to CR */
    CHUNK_SIZE_LF,    /* LF of the size line */
    CHUNK_DATA,       /* `left` bytes of data */
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_LINE,       /* begin of a trailer line, or the last CR */
    CHUNK_TRAILER,    /* in a trailer's name */
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE,
};

void http_chunked_init(struct http_chunked *c)
{
    *c = (struct http_chunked){.state = CHUNK_SIZE};
}

static int hex_value(uint8_t ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    if (ch >= 'A' && ch <= 'F')
        return ch - 'A' + 10;
    return -1;
}

/* The size line: digits, perhaps extensions, CR LF. */
static int chunk_size_byte(struct http_chunked *c, uint8_t ch)
{
    int digit;

    if (++c->line_bytes > CHUNK_LINE_MAX)
        return -EBADMSG;
    switch (c->state) {
    case CHUNK_SIZE:
        digit = hex_value(ch);
        if (digit >= 0 && c->line_bytes <= CHUNK_DIGITS_MAX) {
            c->left = c->left << 4 | (uint64_t) digit;
            return 0;
        }
        if (digit >= 0 || c->line_bytes == 1)
            return -EBADMSG; /* too many digits, or none */
        if (ch == '\r')
            c->state = CHUNK_SIZE_LF;
        else if (ch == ';' || ch == ' ' || ch == '\t')
            c->state = CHUNK_EXT;
        else
            return -EBADMSG;
        return 0;
    case CHUNK_EXT:
        if (ch == '\r')
            c->state = CHUNK_SIZE_LF;
        else if (!(http_char_class[ch] & HTTP_CH_VALUE))
            return -EBADMSG;
        return 0;
    default: /* CHUNK_SIZE_LF */
        if (ch != '\n')
            return -EBADMSG;
        c->state = c->left ? CHUNK_DATA : CHUNK_LINE;
        return 0;
    }
}

/* After the last chunk: "name: value" lines and the empty one. */
static int chunk_trailer_byte(struct http_chunked *c, uint8_t ch)
{
    if (++c->trailer_bytes > CHUNK_TRAILER_MAX)
        return -EBADMSG;
    switch (c->state) {
    case CHUNK_LINE:
        if (ch == '\r')
            c->state = CHUNK_END_LF;
        else if (http_is_token_char(ch))
            c->state = CHUNK_TRAILER;
        else
            return -EBADMSG;
        return 0;
    case CHUNK_TRAILER:
        if (ch == ':')
            c->state = CHUNK_TRAILER_VALUE;
        else if (!http_is_token_char(ch))
            return -EBADMSG;
        return 0;
    case CHUNK_TRAILER_VALUE:
        if (ch == '\r')
            c->state = CHUNK_TRAILER_LF;
        else if (!(http_char_class[ch] & HTTP_CH_VALUE))
            return -EBADMSG;
        return 0;
    default: /* CHUNK_TRAILER_LF, CHUNK_END_LF */
        if (ch != '\n')
            return -EBADMSG;
        c->state = c->state == CHUNK_END_LF ? CHUNK_DONE : CHUNK_LINE;
        return 0;
    }
}

static int chunk_control_byte(struct http_chunked *c, uint8_t ch)
{
    switch (c->state) {
    case CHUNK_SIZE:
    case CHUNK_EXT:
    case CHUNK_SIZE_LF:
        return chunk_size_byte(c, ch);
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return ch == '\r' ? 0 : -EBADMSG;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        c->line_bytes = 0;
        return ch == '\n' ? 0 : -EBADMSG;
    default:
        return chunk_trailer_byte(c, ch);
    }
}

ssize_t http_chunked_next(struct http_chunked *c, const void *p, size_t len, const uint8_t **data, size_t *data_len,
                          bool *done)
{
    const uint8_t *s = p;
    size_t used = 0;

    *data_len = 0;
    *done = false;
    while (used < len && c->state != CHUNK_DONE && c->state != CHUNK_DATA) {
        if (chunk_control_byte(c, s[used++]) < 0)
            return -EBADMSG;
    }
    if (c->state == CHUNK_DATA && used < len) {
        *data = s + used;
        *data_len = c->left < len - used ? (size_t) c->left : len - used;
        c->left -= *data_len;
        used += *data_len;
        if (!c->left)
            c->state = CHUNK_DATA_CR;
    }
    *done = c->state == CHUNK_DONE;
    return (ssize_t) used;
}
