/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_ctx - TLS contexts: versions, ciphers, certificates, trust. TLS 1.2 and 1.3, forward secrecy and AEAD only, no renegotiation,
 * no compression. Where peers show certificates, sessions are not resumed: each connection proves itself again.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/net/tls_internal.h"

#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

const char *tls_error_text(char *out, size_t size)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (reason)
        snprintf(out, size, "%s", reason);
    else
        snprintf(out, size, code ? "TLS error %lx" : "TLS error", code);
    ERR_clear_error();
    return out;
}

static int tls_fail(struct err *e, const char *what, const char *file)
{
    char text[200];

    return err_set(e, -EINVAL, "%s '%s': %s", what, file, tls_error_text(text, sizeof(text)));
}

/* A private key that everyone can read is no secret. */
static int tls_check_key_mode(const char *file, struct err *e)
{
    struct stat st;

    if (stat(file, &st) < 0)
        return err_errno(e, "TLS key '%s'", file);
    if (st.st_mode & 07)
        return err_set(e, -EPERM, "TLS key '%s': other users may read it (chmod o= it)", file);
    return 0;
}

static int tls_load_certificate(SSL_CTX *ctx, const struct tls_conf *conf, bool server, struct err *e)
{
    int r;

    if (!conf->cert_file || !conf->key_file) {
        if (server || conf->cert_file || conf->key_file)
            return err_set(e, -EINVAL, "TLS needs a certificate and its key");
        return 0;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, conf->cert_file) != 1)
        return tls_fail(e, "TLS certificate", conf->cert_file);
    r = tls_check_key_mode(conf->key_file, e);
    if (r < 0)
        return r;
    if (SSL_CTX_use_PrivateKey_file(ctx, conf->key_file, SSL_FILETYPE_PEM) != 1)
        return tls_fail(e, "TLS key", conf->key_file);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return tls_fail(e, "TLS key does not belong to the certificate", conf->key_file);
    return 0;
}

static int tls_load_trust(SSL_CTX *ctx, const struct tls_conf *conf, bool server, struct err *e)
{
    STACK_OF(X509_NAME) *names;

    if (!conf->ca_file) {
        if (server && conf->require_peer)
            return err_set(e, -EINVAL, "TLS: client certificates are required but there is no CA file");
        if (!server && SSL_CTX_set_default_verify_paths(ctx) != 1)
            return tls_fail(e, "TLS trust anchors", "system");
        return 0;
    }
    if (SSL_CTX_load_verify_file(ctx, conf->ca_file) != 1)
        return tls_fail(e, "TLS CA file", conf->ca_file);
    if (!server)
        return 0;
    names = SSL_load_client_CA_file(conf->ca_file);
    if (!names)
        return tls_fail(e, "TLS CA file", conf->ca_file);
    SSL_CTX_set_client_CA_list(ctx, names); /* takes it */
    return 0;
}

static int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void) ssl;
    (void) arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* a peer that does not offer HTTP/1.1 learns it from the first answer */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void tls_set_policy(SSL_CTX *ctx, const struct tls_conf *conf, bool server)
{
    int verify = SSL_VERIFY_NONE;

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (!server || conf->ca_file) {
        verify = SSL_VERIFY_PEER;
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    } else {
        SSL_CTX_set_num_tickets(ctx, 1);
    }
    if (server && conf->require_peer)
        verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, verify, NULL);
    if (server)
        SSL_CTX_set_alpn_select_cb(ctx, tls_on_alpn, NULL);
}

int tls_ctx_new(struct tls_ctx **out, const struct tls_conf *conf, bool server, struct err *e)
{
    struct tls_context *c = xnew(struct tls_context);
    int r;

    ERR_clear_error();
    c->base.new_server = tls_stream_new_server;
    c->base.new_client = tls_stream_new_client;
    c->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!c->ssl || SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(c->ssl, TLS12_CIPHERS) != 1) {
        r = tls_fail(e, "TLS", "library");
        goto fail;
    }
    tls_set_policy(c->ssl, conf, server);
    r = tls_load_certificate(c->ssl, conf, server, e);
    if (r == 0)
        r = tls_load_trust(c->ssl, conf, server, e);
    if (r < 0)
        goto fail;
    *out = &c->base;
    return 0;
fail:
    tls_ctx_free(&c->base);
    return r;
}

void tls_ctx_free(struct tls_ctx *c)
{
    struct tls_context *t = (struct tls_context *) c;

    if (!t)
        return;
    SSL_CTX_free(t->ssl);
    free(t);
}
