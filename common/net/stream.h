/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * stream - non-blocking byte stream over a socket, plain or TLS, on a loop. Has no buffers of its own beyond TLS records.
 * Events are level-triggered for what was asked by stream_want(). For TLS the handshake runs inside; STREAM_OPEN comes once
 * when bytes may flow (for plain sockets in the first turn); READ and WRITE come only after it. STREAM_FAILED is the last event: the
 * handshake failed or took longer than 10 s; close the stream. No callback runs after stream_close().
 * After -EAGAIN from stream_writev() the next call offers the same bytes again, with or without more behind them.
 * TLS needs the library biv_tls; with biv_net alone everything else links.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "common/base/attr.h"

struct err;
struct loop;
struct stream;
struct tls_ctx;

enum { STREAM_READ = 1, STREAM_WRITE = 2, STREAM_OPEN = 4, STREAM_FAILED = 8 };
typedef void stream_fn(void *arg, unsigned events);

struct stream *stream_new(struct loop *l, int fd /* taken */, stream_fn *fn, void *arg);
/* ctx borrowed for the stream's life. server_name: for clients, the name or address the certificate must bear; NULL fails. */
struct stream *stream_new_tls_server(struct loop *l, int fd, struct tls_ctx *ctx, stream_fn *fn, void *arg);
struct stream *stream_new_tls_client(struct loop *l, int fd, struct tls_ctx *ctx, const char *server_name, stream_fn *fn, void *arg);
void stream_set_fn(struct stream *s, stream_fn *fn, void *arg); /* for a new owner (upgrades) */
void stream_want(struct stream *s, unsigned events);            /* STREAM_READ | STREAM_WRITE */
ssize_t stream_read(struct stream *s, void *p, size_t len) must_check;      /* bytes, 0 = end, -EAGAIN, -errno (TLS cut without close_notify: -ECONNRESET) */
ssize_t stream_writev(struct stream *s, const struct iovec *iov, int n) must_check; /* bytes, -EAGAIN, -errno */
int stream_shutdown_write(struct stream *s);                     /* half-close (TLS: close_notify) */
bool stream_is_tls(const struct stream *s);
int stream_fd(const struct stream *s);                           /* borrowed; for plain splice-like relays and logs */
const char *stream_peer_cn(const struct stream *s);              /* verified certificate's common name, or NULL */
/* After STREAM_FAILED: why the handshake failed, in words for a log; never NULL. */
const char *stream_failure(const struct stream *s);
void stream_close(struct stream *s);                             /* NULL is fine; closes the socket */
void stream_abort(struct stream *s);                             /* close with RST: the peer must notice a cut answer */

/* ---- TLS contexts (biv_tls) ---- */
struct tls_conf {
    const char *cert_file; /* chain, PEM; NULL for a client without certificate */
    const char *key_file;
    const char *ca_file;   /* trust anchors; NULL: server asks for no client certificate, client uses the system's */
    bool require_peer;     /* server: refuse clients without a certificate of ca_file */
};
int tls_ctx_new(struct tls_ctx **out, const struct tls_conf *conf, bool server, struct err *e) must_check; /* TLS >= 1.2 */
void tls_ctx_free(struct tls_ctx *c);
