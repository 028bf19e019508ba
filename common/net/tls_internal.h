/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* tls_internal - shared by tls_ctx.c and tls_stream.c only; the TLS library is included by these two files. */
#include <openssl/types.h>
#include "common/net/stream_internal.h"

struct tls_context {
    struct tls_ctx base; /* first: struct tls_ctx * is cast */
    SSL_CTX *ssl;        /* owned */
};

struct stream *tls_stream_new_server(struct loop *l, int fd, struct tls_ctx *ctx, stream_fn *fn, void *arg);
struct stream *tls_stream_new_client(struct loop *l, int fd, struct tls_ctx *ctx, const char *server_name, stream_fn *fn, void *arg);
/* The library's oldest queued error in words; empties its queue. */
const char *tls_error_text(char *out, size_t size);
