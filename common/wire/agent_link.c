/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_link - the byte side of agent_link.h. What a message of each type is made of is one table; decoding and encoding
 * both walk it.
 */
#include "common/wire/agent_link.h"
#include "common/base/buf.h"
#include <errno.h>
#include <string.h>

enum link_part {
    PART_REQ = 1,   /* u32 */
    PART_KIND = 2,  /* u8 */
    PART_CURSOR = 4, /* u64 */
    PART_TO = 8,    /* u64 */
    PART_PID = 16,  /* u8 length, bytes */
    PART_SIZE = 32, /* u16, u16 */
    PART_DATA = 64, /* the rest */
};

/* In the order of the bits: that is the order on the wire. */
static const struct {
    unsigned parts;
    size_t data_max;
} link_shapes[] = {
    [LINK_START] = {PART_REQ | PART_DATA, LINK_MESSAGE_MAX},
    [LINK_STDIN] = {PART_REQ | PART_PID | PART_DATA, LINK_MESSAGE_MAX},
    [LINK_CLOSE_STDIN] = {PART_REQ | PART_PID, 0},
    [LINK_SIGNAL] = {PART_REQ | PART_PID | PART_DATA, LINK_DATA_MAX},
    [LINK_RESIZE] = {PART_REQ | PART_PID | PART_SIZE, 0},
    [LINK_ACK] = {PART_CURSOR | PART_PID, 0},
    [LINK_RESEND] = {PART_CURSOR | PART_PID, 0},
    [LINK_PING] = {PART_REQ, 0},
    [LINK_RESULT] = {PART_REQ | PART_DATA, LINK_DATA_MAX},
    [LINK_FRAME] = {PART_KIND | PART_CURSOR | PART_PID | PART_DATA, LINK_MESSAGE_MAX},
    [LINK_SYNCED] = {0, 0},
    [LINK_PONG] = {PART_REQ, 0},
    [LINK_LOST] = {PART_CURSOR | PART_TO | PART_PID, 0},
};

struct reader {
    const uint8_t *p;
    size_t left;
    bool bad;
};

static uint64_t get_le(struct reader *r, size_t bytes)
{
    uint64_t v = 0;

    if (r->left < bytes) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t) r->p[i] << (8 * i);
    r->p += bytes;
    r->left -= bytes;
    return v;
}

static bool link_type_known(unsigned type)
{
    return (type >= LINK_START && type <= LINK_PING) || (type >= LINK_RESULT && type <= LINK_LOST);
}

static bool pid_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == ':' || c == '-';
}

static bool pid_valid(const char *pid, size_t len)
{
    if (len < 1 || len > LINK_PID_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!pid_char((uint8_t) pid[i]))
            return false;
    }
    return true;
}

/* The rules that the parts alone do not say; the same for what we send and what we get. */
static bool link_valid(const struct link_msg *m)
{
    unsigned parts = link_shapes[m->type].parts;

    if ((parts & PART_PID) && !pid_valid(m->pid, m->pid_len))
        return false;
    if (m->data_len > link_shapes[m->type].data_max)
        return false;
    if (m->type == LINK_RESIZE)
        return m->cols >= 1 && m->cols <= 1000 && m->rows >= 1 && m->rows <= 1000;
    if (m->type == LINK_LOST)
        return m->cursor <= m->cursor_to;
    if (m->type != LINK_FRAME)
        return true;
    if (m->kind < LINK_STARTED || m->kind > LINK_EXIT || m->cursor % 2 == 0 || (m->kind == LINK_STARTED) != (m->cursor == 1))
        return false;
    bool json = m->kind == LINK_STARTED || m->kind == LINK_EXIT;

    return json ? m->data_len > 0 : m->data_len <= LINK_DATA_MAX;
}

static bool link_read(struct reader *r, struct link_msg *m)
{
    unsigned parts = link_shapes[m->type].parts;

    if (parts & PART_REQ)
        m->req = (uint32_t) get_le(r, 4);
    if (parts & PART_KIND)
        m->kind = (enum link_kind) get_le(r, 1);
    if (parts & PART_CURSOR)
        m->cursor = get_le(r, 8);
    if (parts & PART_TO)
        m->cursor_to = get_le(r, 8);
    if (parts & PART_PID) {
        m->pid_len = (uint8_t) get_le(r, 1);
        if (r->bad || r->left < m->pid_len)
            return false;
        m->pid = (const char *) r->p;
        r->p += m->pid_len;
        r->left -= m->pid_len;
    }
    if (parts & PART_SIZE) {
        m->cols = (uint16_t) get_le(r, 2);
        m->rows = (uint16_t) get_le(r, 2);
    }
    m->data = r->p;
    m->data_len = r->left;
    return !r->bad && ((parts & PART_DATA) || r->left == 0) && link_valid(m);
}

int link_decode(const void *p, size_t len, struct link_msg *out, size_t *used)
{
    struct reader head = {.p = p, .left = len};
    struct link_msg m = {0};

    if (len < 4)
        return LINK_E_MORE;
    size_t size = get_le(&head, 4);

    if (size < 1 || size > LINK_MESSAGE_MAX)
        return LINK_E_BAD;
    if (head.left < 1)
        return LINK_E_MORE;
    if (!link_type_known(*head.p)) /* before the rest is waited for */
        return LINK_E_BAD;
    if (head.left < size)
        return LINK_E_MORE;
    struct reader body = {.p = head.p + 1, .left = size - 1};

    m.type = (enum link_type) *head.p;
    if (!link_read(&body, &m))
        return LINK_E_BAD;
    *out = m;
    *used = 4 + size;
    return LINK_E_OK;
}

static uint8_t *put_le(uint8_t *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t) (v >> (8 * i));
    return to + bytes;
}

static size_t link_size(const struct link_msg *m)
{
    unsigned parts = link_shapes[m->type].parts;
    size_t n = 1;

    n += parts & PART_REQ ? 4 : 0;
    n += parts & PART_KIND ? 1 : 0;
    n += parts & PART_CURSOR ? 8 : 0;
    n += parts & PART_TO ? 8 : 0;
    n += parts & PART_PID ? 1u + m->pid_len : 0;
    n += parts & PART_SIZE ? 4 : 0;
    return n + (parts & PART_DATA ? m->data_len : 0);
}

static void link_put(uint8_t *to, size_t size, const struct link_msg *m)
{
    unsigned parts = link_shapes[m->type].parts;

    to = put_le(to, size, 4);
    to = put_le(to, m->type, 1);
    if (parts & PART_REQ)
        to = put_le(to, m->req, 4);
    if (parts & PART_KIND)
        to = put_le(to, m->kind, 1);
    if (parts & PART_CURSOR)
        to = put_le(to, m->cursor, 8);
    if (parts & PART_TO)
        to = put_le(to, m->cursor_to, 8);
    if (parts & PART_PID) {
        to = put_le(to, m->pid_len, 1);
        memcpy(to, m->pid, m->pid_len);
        to += m->pid_len;
    }
    if (parts & PART_SIZE) {
        to = put_le(to, m->cols, 2);
        to = put_le(to, m->rows, 2);
    }
    if ((parts & PART_DATA) && m->data_len)
        memcpy(to, m->data, m->data_len);
}

int link_encode(struct buf *out, const struct link_msg *m)
{
    if (!link_type_known(m->type) || !link_valid(m))
        return -EINVAL;
    size_t size = link_size(m);
    uint8_t *to;

    if (size > LINK_MESSAGE_MAX)
        return -EINVAL;
    to = buf_reserve(out, 4 + size);
    if (!to)
        return -ENOBUFS;
    link_put(to, size, m);
    buf_commit(out, 4 + size);
    return 0;
}
