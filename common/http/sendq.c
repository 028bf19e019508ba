/* SPDX-License-Identifier: Apache-2.0 */
/* sendq - see sendq.h */
#include "common/http/sendq.h"
#include <assert.h>
#include <errno.h>
#include <sys/uio.h>
#include "common/net/stream.h"


void sendq_deinit(struct sendq *q)
{
    buf_deinit(&q->b);
}

int sendq_append(struct sendq *q, const void *p, size_t len)
{
    return buf_append(&q->b, p, len);
}

static size_t iov_bytes(const struct iovec *iov, int n)
{
    size_t sum = 0;

    for (int i = 0; i < n; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* Keeps all of iov but its first `skip` bytes. */
static int sendq_keep(struct sendq *q, const struct iovec *iov, int n, size_t skip)
{
    size_t rest = iov_bytes(iov, n) - skip;
    uint8_t *room = buf_reserve(&q->b, rest);

    if (!room)
        return -ENOBUFS;
    for (int i = 0; i < n; i++) {
        size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len;

        skip -= cut;
        if (buf_append(&q->b, (const uint8_t *) iov[i].iov_base + cut, iov[i].iov_len - cut) < 0)
            return -ENOBUFS;
    }
    return 0;
}

static int sendq_write(struct sendq *q, struct stream *s, const struct iovec *iov, int n, size_t *sent)
{
    struct iovec all[SENDQ_IOV_MAX];
    size_t total = iov_bytes(iov, n), queued = q->b.len, cut;
    int first = queued ? 0 : 1;
    ssize_t r;

    assert(n < SENDQ_IOV_MAX);
    if (queued)
        all[0] = (struct iovec){.iov_base = buf_data(&q->b), .iov_len = queued};
    for (int i = 0; i < n; i++)
        all[i + 1] = iov[i];
    r = stream_writev(s, all + first, n + 1 - first);
    if (r < 0 && r != -EAGAIN)
        return (int) r;
    size_t took = r < 0 ? 0 : (size_t) r;

    *sent += took;
    q->blocked = took < queued + total;
    cut = took < queued ? took : queued;
    buf_consume(&q->b, cut);
    if (!q->blocked) {
        buf_shrink(&q->b);
        return 0;
    }
    return sendq_keep(q, iov, n, took - cut);
}

int sendq_putv(struct sendq *q, struct stream *s, const struct iovec *iov, int n, size_t *sent)
{
    size_t total = iov_bytes(iov, n);

    if (q->blocked || (total <= SENDQ_SMALL_BYTES && q->b.len + total <= SENDQ_GATHER_BYTES))
        return sendq_keep(q, iov, n, 0);
    return sendq_write(q, s, iov, n, sent);
}

int sendq_flush(struct sendq *q, struct stream *s, size_t *sent)
{
    if (!q->b.len)
        return 0;
    return sendq_write(q, s, NULL, 0, sent);
}
