/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_stream - the TLS kind of stream.
 *
 * What the library makes hard, and how it is met here:
 * - Bytes may wait inside the library while the socket is silent: as long as STREAM_READ is wanted they are told again by a deferred
 *   call, once a turn. `drained` stops that when the library has said that what it holds is no whole record.
 * - Reading may have to wait for writing and the other way round: `read_needs` and `write_needs` hold the direction.
 * - A write that had to wait must be repeated with the same bytes and length. `held` keeps a copy until then; when the caller offers
 *   less the next time, the rest is noted in `credit` and taken from what it offers after that. No byte is lost or sent twice.
 * - The library writes with write(2): a BIO of our own sends without SIGPIPE.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "common/base/mem.h"
#include "common/net/tls_internal.h"

enum { HANDSHAKE_MS = 10000, RECORD_BYTES_MAX = SSL3_RT_MAX_PLAIN_LENGTH, CN_SIZE = 256 };

enum tls_state {
    TLS_HANDSHAKE, /* STREAM_OPEN not told yet */
    TLS_OPEN,
    TLS_FAILED,    /* the handshake; nothing is told any more */
};

struct tls_stream {
    struct stream s; /* first: struct stream * is cast */
    SSL *ssl;        /* owned */
    enum tls_state state;
    struct timer *deadline; /* of the handshake; owned */
    struct defer again;     /* tells STREAM_READ for bytes inside the library */
    unsigned read_needs, write_needs; /* IO_READ or IO_WRITE */
    bool drained;
    bool shutdown_begun, shutdown_waits; /* our close_notify */
    int broken;       /* -errno of the first fatal error; the library may not be called any more */
    void *held;       /* owned: a record that waits for the socket, or NULL */
    size_t held_len;
    size_t credit;    /* bytes already sent that the caller will offer once more */
    char peer_cn[CN_SIZE];
    char failure[200];
};

static struct tls_stream *tls_of(const struct stream *s)
{
    return (struct tls_stream *) s;
}

/* ---- the library's way to the socket ---- */

static int tls_bio_write(BIO *b, const char *p, size_t len, size_t *written)
{
    struct iovec iov = {(void *) p, len};
    ssize_t n = socket_writev((int) (intptr_t) BIO_get_data(b), &iov, 1);

    BIO_clear_retry_flags(b);
    if (n == -EAGAIN)
        BIO_set_retry_write(b);
    if (n < 0) {
        errno = (int) -n;
        return 0;
    }
    *written = (size_t) n;
    return 1;
}

static int tls_bio_read(BIO *b, char *p, size_t len, size_t *got)
{
    ssize_t n = socket_read((int) (intptr_t) BIO_get_data(b), p, len);

    BIO_clear_retry_flags(b);
    if (n == -EAGAIN)
        BIO_set_retry_read(b);
    if (n == 0)
        BIO_set_flags(b, BIO_FLAGS_IN_EOF);
    if (n <= 0) {
        errno = (int) -n;
        return 0;
    }
    *got = (size_t) n;
    return 1;
}

static long tls_bio_ctrl(BIO *b, int cmd, long num, void *p)
{
    (void) num;
    (void) p;
    if (cmd == BIO_CTRL_EOF)
        return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO *tls_bio_new(int fd)
{
    static BIO_METHOD *method; /* for the life of the process */
    BIO *b;

    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
        if (!method)
            return NULL;
        BIO_meth_set_write_ex(method, tls_bio_write);
        BIO_meth_set_read_ex(method, tls_bio_read);
        BIO_meth_set_ctrl(method, tls_bio_ctrl);
    }
    b = BIO_new(method);
    if (!b)
        return NULL;
    BIO_set_data(b, (void *) (intptr_t) fd);
    BIO_set_init(b, 1);
    return b;
}

/* ---- outcome of a library call ---- */

/* -EAGAIN with *needs set, 0 for the peer's close_notify, or the fatal error, which is kept. */
static int tls_outcome(struct tls_stream *t, int ret, unsigned *needs)
{
    int error = errno;

    switch (SSL_get_error(t->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        *needs = IO_READ;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        *needs = IO_WRITE;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        t->broken = error > 0 ? -error : -ECONNRESET;
        break;
    default:
        t->broken = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? -ECONNRESET : -EPROTO;
    }
    return t->broken;
}

static void tls_before_call(void)
{
    ERR_clear_error();
    errno = 0;
}

/* ---- what is waited for ---- */

/* Whether stream_read() would answer something although the socket may be silent. */
static bool tls_holds_news(const struct tls_stream *t)
{
    return t->broken || (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) || (!t->drained && SSL_has_pending(t->ssl));
}

static void tls_on_again(void *arg);

static void tls_update(struct stream *s)
{
    struct tls_stream *t = tls_of(s);
    unsigned events = 0;

    if (t->state == TLS_FAILED) {
        io_want(s->io, 0);
        return;
    }
    if (t->state == TLS_HANDSHAKE) {
        io_want(s->io, t->read_needs);
        return;
    }
    if (s->want & STREAM_READ) {
        events |= t->read_needs;
        if (tls_holds_news(t))
            loop_defer(s->loop, &t->again, tls_on_again, t);
    }
    if (s->want & STREAM_WRITE)
        events |= t->write_needs;
    if (t->shutdown_waits)
        events |= IO_WRITE;
    io_want(s->io, events);
}

/* The callback may close the stream. */
static void tls_tell(struct tls_stream *t, unsigned events)
{
    t->s.fn(t->s.arg, events);
    if (!stream_closed(&t->s))
        tls_update(&t->s);
}

static void tls_on_again(void *arg)
{
    struct tls_stream *t = arg;

    if ((t->s.want & STREAM_READ) && tls_holds_news(t))
        tls_tell(t, STREAM_READ);
}

/* ---- handshake ---- */

static void tls_fail(struct tls_stream *t)
{
    t->state = TLS_FAILED;
    timer_cancel(t->deadline);
    tls_tell(t, STREAM_FAILED);
}

static void tls_on_deadline(void *arg)
{
    struct tls_stream *t = arg;

    snprintf(t->failure, sizeof(t->failure), "TLS handshake took longer than %d s", HANDSHAKE_MS / 1000);
    tls_fail(t);
}

static void tls_on_cannot_start(void *arg)
{
    tls_fail(arg);
}

/* The one common name of the verified certificate; names that hold NUL or are too long count as none. */
static void tls_note_peer(struct tls_stream *t)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    const X509_NAME *name;
    unsigned char *text = NULL;
    int at, len;

    if (!cert || SSL_get_verify_result(t->ssl) != X509_V_OK || !(SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER))
        return;
    name = X509_get_subject_name(cert);
    at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
        return;
    len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (len > 0 && len < CN_SIZE && !memchr(text, 0, (size_t) len))
        memcpy(t->peer_cn, text, (size_t) len);
    OPENSSL_free(text);
}

static void tls_handshake_failed(struct tls_stream *t, int r)
{
    long verify = SSL_get_verify_result(t->ssl);

    if (verify != X509_V_OK)
        snprintf(t->failure, sizeof(t->failure), "peer's certificate refused: %s", X509_verify_cert_error_string(verify));
    else if (r == -EPROTO)
        tls_error_text(t->failure, sizeof(t->failure));
    else
        snprintf(t->failure, sizeof(t->failure), "TLS handshake: %s", r == 0 ? "closed by the peer" : strerror(-r));
    tls_fail(t);
}

static void tls_handshake(struct tls_stream *t)
{
    int ret, r;

    tls_before_call();
    ret = SSL_do_handshake(t->ssl);
    if (ret == 1) {
        timer_cancel(t->deadline);
        tls_note_peer(t);
        t->state = TLS_OPEN;
        t->s.open = true;
        t->read_needs = IO_READ;
        tls_tell(t, STREAM_OPEN);
        return;
    }
    r = tls_outcome(t, ret, &t->read_needs);
    if (r == -EAGAIN)
        tls_update(&t->s);
    else
        tls_handshake_failed(t, r);
}

/* ---- open ---- */

static void tls_continue_shutdown(struct tls_stream *t);

static void tls_on_io(void *arg, unsigned events)
{
    struct tls_stream *t = arg;
    unsigned told = 0;

    if (t->state == TLS_HANDSHAKE) {
        tls_handshake(t);
        return;
    }
    if (events & IO_READ)
        t->drained = false;
    if ((t->s.want & STREAM_READ) && (events & t->read_needs)) {
        t->read_needs = IO_READ;
        told |= STREAM_READ;
    }
    if ((t->s.want & STREAM_WRITE) && (events & t->write_needs)) {
        t->write_needs = IO_WRITE;
        told |= STREAM_WRITE;
    }
    if (t->shutdown_waits && (events & IO_WRITE))
        tls_continue_shutdown(t);
    if (told)
        tls_tell(t, told);
    else
        tls_update(&t->s);
}

static ssize_t tls_read(struct stream *s, void *p, size_t len)
{
    struct tls_stream *t = tls_of(s);
    size_t total = 0;
    int r = 0;

    if (t->state != TLS_OPEN)
        return t->state == TLS_FAILED ? -EPROTO : -EAGAIN;
    while (total < len && !t->broken) {
        size_t n = 0;
        int ret;

        tls_before_call();
        ret = SSL_read_ex(t->ssl, (char *) p + total, len - total, &n);
        if (ret != 1) {
            r = tls_outcome(t, ret, &t->read_needs);
            t->drained = r == -EAGAIN;
            break;
        }
        total += n;
        if (!SSL_has_pending(t->ssl) && n < RECORD_BYTES_MAX)
            break; /* like recv(): what is there, without asking the kernel again */
    }
    tls_update(s);
    if (total > 0)
        return (ssize_t) total; /* the end or the error is told next */
    return t->broken ? t->broken : r;
}

/* The next `len` bytes: in place when one part holds them all, else gathered. */
static const void *tls_gather(const struct iovec *iov, int n, size_t skip, size_t len)
{
    static unsigned char record[RECORD_BYTES_MAX]; /* one loop, one thread; used within one call */
    size_t filled = 0;

    for (int i = 0; i < n && filled < len; i++) {
        size_t part = iov[i].iov_len;

        if (skip >= part) {
            skip -= part;
            continue;
        }
        part -= skip;
        if (filled == 0 && part >= len)
            return (const char *) iov[i].iov_base + skip;
        if (part > len - filled)
            part = len - filled;
        memcpy(record + filled, (const char *) iov[i].iov_base + skip, part);
        filled += part;
        skip = 0;
    }
    assert(filled == len);
    return record;
}

/* One record. 0 and *done, or -EAGAIN (the record is held), or a fatal error. */
static int tls_write_record(struct tls_stream *t, const void *p, size_t len, size_t *done)
{
    int ret, r;

    if (t->held) {
        p = t->held;
        len = t->held_len;
    }
    tls_before_call();
    ret = SSL_write_ex(t->ssl, p, len, done);
    if (ret == 1) {
        free(t->held);
        t->held = NULL;
        return 0;
    }
    r = tls_outcome(t, ret, &t->write_needs);
    if (r == 0)
        r = t->broken = -EPIPE;
    if (r == -EAGAIN && !t->held) {
        t->held = memcpy(xmalloc(len), p, len);
        t->held_len = len;
    }
    return r;
}

static size_t tls_use_credit(struct tls_stream *t, size_t offered)
{
    size_t n = t->credit < offered ? t->credit : offered;

    t->credit -= n;
    return n;
}

static ssize_t tls_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct tls_stream *t = tls_of(s);
    size_t offered = 0, sent;

    if (t->state != TLS_OPEN)
        return t->state == TLS_FAILED ? -EPROTO : -EAGAIN;
    if (t->broken || t->shutdown_begun)
        return t->broken ? t->broken : -EPIPE;
    for (int i = 0; i < n; i++)
        offered += iov[i].iov_len;
    sent = tls_use_credit(t, offered);
    while (sent < offered) {
        size_t rest = offered - sent, done = 0;
        size_t len = rest < RECORD_BYTES_MAX ? rest : RECORD_BYTES_MAX;
        int r = tls_write_record(t, t->held ? NULL : tls_gather(iov, n, sent, len), len, &done);

        if (r < 0) {
            tls_update(s);
            return sent > 0 ? (ssize_t) sent : r;
        }
        t->credit = done > rest ? done - rest : 0;
        sent += done - t->credit;
    }
    return (ssize_t) sent;
}

/* ---- the end ---- */

static void tls_continue_shutdown(struct tls_stream *t)
{
    unsigned needs = 0;
    int ret;

    t->shutdown_waits = false;
    if (!t->broken && !t->held) {
        tls_before_call();
        ret = SSL_shutdown(t->ssl);
        if (ret < 0 && tls_outcome(t, ret, &needs) == -EAGAIN && needs == IO_WRITE) {
            t->shutdown_waits = true;
            return;
        }
    }
    (void) shutdown(t->s.fd, SHUT_WR); /* fails only when the connection has gone: the reader will see it */
}

static int tls_shutdown_write(struct stream *s)
{
    struct tls_stream *t = tls_of(s);

    if (t->state != TLS_OPEN)
        return -ENOTCONN;
    if (t->shutdown_begun)
        return 0;
    t->shutdown_begun = true;
    tls_continue_shutdown(t);
    tls_update(s);
    return t->broken;
}

static void tls_release(struct stream *s, bool aborted)
{
    struct tls_stream *t = tls_of(s);

    if (!aborted && t->state == TLS_OPEN && !t->broken && !t->held && !t->shutdown_begun) {
        tls_before_call();
        (void) SSL_shutdown(t->ssl); /* close_notify if the socket takes it now */
    }
    defer_cancel(&t->again);
    timer_free(t->deadline);
    t->deadline = NULL;
    SSL_free(t->ssl);
    t->ssl = NULL;
    free(t->held);
    t->held = NULL;
    ERR_clear_error();
}

static const char *tls_peer_cn(const struct stream *s)
{
    const struct tls_stream *t = tls_of(s);

    return t->peer_cn[0] ? t->peer_cn : NULL;
}

static const char *tls_failure(const struct stream *s)
{
    return tls_of(s)->failure;
}

static const struct stream_kind tls_kind = {
    .read = tls_read,
    .writev = tls_writev,
    .shutdown_write = tls_shutdown_write,
    .update = tls_update,
    .release = tls_release,
    .peer_cn = tls_peer_cn,
    .failure = tls_failure,
};

/* ---- construction ---- */

/* Pins the name or address that the certificate must bear; names also go into the SNI extension. */
static bool tls_set_server_name(SSL *ssl, const char *name)
{
    unsigned char address[16];

    if (!name || !*name)
        return false;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static struct tls_stream *tls_stream_new(struct loop *l, int fd, struct tls_ctx *ctx, stream_fn *fn, void *arg)
{
    struct tls_stream *t = xnew(struct tls_stream);
    BIO *bio = NULL;

    stream_init(&t->s, &tls_kind, l, fd, tls_on_io, fn, arg);
    t->read_needs = IO_READ;
    t->write_needs = IO_WRITE;
    t->deadline = timer_new(l, tls_on_deadline, t);
    timer_set(t->deadline, HANDSHAKE_MS);
    t->ssl = SSL_new(((struct tls_context *) ctx)->ssl);
    if (t->ssl)
        bio = tls_bio_new(fd);
    if (bio)
        SSL_set_bio(t->ssl, bio, bio);
    return t;
}

static struct stream *tls_start(struct tls_stream *t, const char *trouble)
{
    if (!t->ssl || !SSL_get_rbio(t->ssl))
        trouble = "no memory for a TLS connection";
    if (trouble) {
        snprintf(t->failure, sizeof(t->failure), "%s", trouble);
        t->state = TLS_FAILED;
        loop_defer(t->s.loop, &t->s.opening, tls_on_cannot_start, t);
    } else {
        tls_update(&t->s);
    }
    return &t->s;
}

struct stream *tls_stream_new_server(struct loop *l, int fd, struct tls_ctx *ctx, stream_fn *fn, void *arg)
{
    struct tls_stream *t = tls_stream_new(l, fd, ctx, fn, arg);

    if (t->ssl)
        SSL_set_accept_state(t->ssl);
    return tls_start(t, NULL);
}

struct stream *tls_stream_new_client(struct loop *l, int fd, struct tls_ctx *ctx, const char *server_name, stream_fn *fn, void *arg)
{
    struct tls_stream *t = tls_stream_new(l, fd, ctx, fn, arg);

    if (!t->ssl)
        return tls_start(t, NULL);
    SSL_set_connect_state(t->ssl);
    t->read_needs = IO_WRITE; /* the client speaks first */
    return tls_start(t, tls_set_server_name(t->ssl, server_name) ? NULL : "no valid name that the server's certificate must bear");
}
