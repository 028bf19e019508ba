/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_handshake - who is let in: certificates, names, deadlines, versions; also against the library used directly. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "tests/unit/common/net/tls_pair.h"

/* ---- handshake and identity ---- */

static void both_open_once_and_know_each_other(void **state)
{
    struct fixture *f = *state;

    f->server_conf.ca_file = pair_path("ca.pem");
    f->server_conf.require_peer = true;
    f->client_conf.cert_file = pair_path("host.pem");
    f->client_conf.key_file = pair_path("host.key");
    pair_begin(f, false);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    for (int i = 0; i < 5; i++)
        pair_turn(f);
    assert_int_equal(f->server.opens, 1);
    assert_int_equal(f->client.opens, 1);
    assert_string_equal(stream_peer_cn(f->server.stream), "host-1");
    assert_string_equal(stream_peer_cn(f->client.stream), "server");
    assert_true(stream_is_tls(f->server.stream));
}

static void a_client_without_certificate_has_no_name(void **state)
{
    struct fixture *f = *state;

    f->server_conf.ca_file = pair_path("ca.pem"); /* asked for, not required */
    pair_begin(f, false);
    WAIT_FOR(f, f->server.opens && f->client.opens);
    assert_null(stream_peer_cn(f->server.stream));
}

static void two_common_names_count_as_none(void **state)
{
    struct fixture *f = *state;

    f->server_conf.ca_file = pair_path("ca.pem");
    f->server_conf.require_peer = true;
    f->client_conf.cert_file = pair_path("twins.pem");
    f->client_conf.key_file = pair_path("twins.key");
    pair_begin(f, false);
    WAIT_FOR(f, f->server.opens);
    assert_null(stream_peer_cn(f->server.stream));
}

static void refuse_client(struct fixture *f, const char *cert, const char *key, const char *words)
{
    f->server_conf.ca_file = pair_path("ca.pem");
    f->server_conf.require_peer = true;
    if (cert) {
        f->client_conf.cert_file = strdup(cert);
        f->client_conf.key_file = strdup(key);
    }
    pair_begin(f, false);
    WAIT_FOR(f, f->server.fails && (f->client.fails || f->client.end < 0));
    assert_int_equal(f->server.opens, 0);
    assert_int_equal(f->server.fails, 1);
    assert_non_null(strstr(f->server.failure, words));
    assert_null(stream_peer_cn(f->server.stream));
    assert_int_equal(stream_read(f->server.stream, (char[1]){0}, 1), -EPROTO);
}

static void require_peer_refuses_a_client_without_certificate(void **state)
{
    refuse_client(*state, NULL, NULL, "did not return a certificate");
}

static void require_peer_refuses_another_authority(void **state)
{
    refuse_client(*state, test_ca_path(other_ca, "host.pem"), test_ca_path(other_ca, "host.key"), "certificate refused");
}

static void require_peer_refuses_an_expired_certificate(void **state)
{
    refuse_client(*state, test_ca_path(ca, "expired.pem"), test_ca_path(ca, "expired.key"), "expired");
}

static void refuse_server(struct fixture *f, const char *name, const char *words)
{
    f->server_name = name;
    pair_begin(f, false);
    WAIT_FOR(f, f->client.fails);
    assert_int_equal(f->client.opens, 0);
    assert_non_null(strstr(f->client.failure, words));
}

static void the_client_refuses_a_wrong_name(void **state)
{
    refuse_server(*state, "example.org", "hostname mismatch");
}

static void the_client_refuses_a_wrong_address(void **state)
{
    refuse_server(*state, "127.0.0.2", "IP address mismatch");
}

static void the_client_refuses_to_check_no_name(void **state)
{
    refuse_server(*state, NULL, "no valid name");
}

static void the_client_accepts_the_address_of_the_certificate(void **state)
{
    struct fixture *f = *state;

    f->server_name = "127.0.0.1";
    pair_begin(f, false);
    WAIT_FOR(f, f->client.opens);
}

static void the_client_refuses_an_unknown_authority(void **state)
{
    struct fixture *f = *state;

    free((char *) f->client_conf.ca_file);
    f->client_conf.ca_file = strdup(test_ca_path(other_ca, "ca.pem"));
    refuse_server(f, "localhost", "certificate refused");
}

static void a_handshake_has_a_deadline(void **state)
{
    struct fixture *f = *state;

    f->now_ns = 1000000000;
    clock_fake(&f->now_ns, NULL);
    pair_begin(f, true);
    f->pump_limit[0] = 100; /* the rest of the client's first message never comes */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(loop_turn(f->loop, 0), 0);
        pair_pump(f, 0);
    }
    f->now_ns += UINT64_C(9900000000);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->server.fails, 0);
    f->now_ns += UINT64_C(100000000);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->server.fails, 1);
    assert_int_equal(f->client.fails, 1);
    assert_non_null(strstr(f->server.failure, "10 s"));
    f->now_ns += UINT64_C(20000000000);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->server.calls, 1); /* FAILED is the last event */
}

static void garbage_and_plain_http_fail_the_handshake(void **state)
{
    struct fixture *f = *state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    int fds[2];

    pair_make_ctx(&f->server_ctx, &f->server_conf, true);
    pair_sockets(fds);
    f->server.stream = stream_new_tls_server(f->loop, fds[0], f->server_ctx, end_on_event, &f->server);
    assert_int_equal(write(fds[1], http, sizeof(http) - 1), sizeof(http) - 1);
    WAIT_FOR(f, f->server.fails);
    assert_non_null(strstr(f->server.failure, "http request"));
    close(fds[1]);
}

static void a_peer_that_leaves_in_the_handshake_fails_it(void **state)
{
    struct fixture *f = *state;
    int fds[2];

    pair_make_ctx(&f->server_ctx, &f->server_conf, true);
    pair_sockets(fds);
    f->server.stream = stream_new_tls_server(f->loop, fds[0], f->server_ctx, end_on_event, &f->server);
    close(fds[1]);
    WAIT_FOR(f, f->server.fails);
    assert_true(f->server.failure[0]);
}

/* ---- against the library itself ---- */

static SSL *raw_client(struct fixture *f, int max_version, int *fd, SSL_CTX **ctx)
{
    int fds[2];
    SSL *ssl;

    pair_make_ctx(&f->server_ctx, &f->server_conf, true);
    pair_sockets(fds);
    f->server.stream = stream_new_tls_server(f->loop, fds[0], f->server_ctx, end_on_event, &f->server);
    *fd = fds[1];
    *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(*ctx, 0);
    SSL_CTX_set_min_proto_version(*ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(*ctx, max_version);
    ssl = SSL_new(*ctx);
    SSL_set_fd(ssl, *fd);
    SSL_set_connect_state(ssl);
    return ssl;
}

static int raw_step(struct fixture *f, SSL *ssl)
{
    int r, error;

    for (int i = 0; i < 100; i++) {
        ERR_clear_error();
        r = SSL_do_handshake(ssl);
        if (r == 1)
            return 1;
        error = SSL_get_error(ssl, r);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return -1;
        pair_turn(f);
    }
    return 0;
}

static void tls_1_1_is_refused(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx;
    int fd;
    SSL *ssl = raw_client(f, TLS1_1_VERSION, &fd, &ctx);

    assert_int_equal(raw_step(f, ssl), -1);
    WAIT_FOR(f, f->server.fails);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

static void renegotiation_is_refused(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx;
    int fd;
    SSL *ssl = raw_client(f, TLS1_2_VERSION, &fd, &ctx);

    assert_int_equal(raw_step(f, ssl), 1);
    assert_int_equal(SSL_renegotiate(ssl), 1);
    assert_int_not_equal(raw_step(f, ssl), 1);
    assert_int_equal(f->server.opens, 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

static void a_key_update_in_mid_stream_loses_nothing(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx;
    int fd;
    SSL *ssl = raw_client(f, TLS1_3_VERSION, &fd, &ctx);
    struct iovec iov = {(void *) "back", 4};
    char text[8];

    assert_int_equal(raw_step(f, ssl), 1);
    WAIT_FOR(f, f->server.opens);
    assert_int_equal(SSL_write(ssl, "one", 3), 3);
    assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(ssl, "two", 3), 3);
    WAIT_FOR(f, f->server.in.len == 6);
    assert_memory_equal(buf_data(&f->server.in), "onetwo", 6);
    assert_int_equal(stream_writev(f->server.stream, &iov, 1), 4);
    pair_turn(f);
    assert_int_equal(SSL_read(ssl, text, sizeof(text)), 4);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

/* ---- contexts ---- */

static void refuse_conf(const struct tls_conf *conf, bool server, const char *words)
{
    struct tls_ctx *ctx = NULL;
    struct err e = ERR_INIT;

    assert_true(tls_ctx_new(&ctx, conf, server, &e) < 0);
    assert_null(ctx);
    assert_non_null(strstr(e.text, words));
}

static void bad_configurations_are_refused_with_words(void **state)
{
    struct fixture *f = *state;
    struct tls_conf c;

    refuse_conf(&(struct tls_conf){0}, true, "certificate");
    c = f->server_conf;
    c.key_file = NULL;
    refuse_conf(&c, true, "key");
    c = f->server_conf;
    c.cert_file = "/nonexistent.pem";
    refuse_conf(&c, true, "/nonexistent.pem");
    c = f->server_conf;
    c.key_file = test_ca_path(ca, "host.key");
    refuse_conf(&c, true, "TLS key");
    c = f->server_conf;
    c.ca_file = "/nonexistent.pem";
    refuse_conf(&c, true, "CA file");
    c = f->server_conf;
    c.require_peer = true;
    refuse_conf(&c, true, "no CA file");
    assert_int_equal(chmod(f->server_conf.key_file, 0644), 0);
    refuse_conf(&f->server_conf, true, "other users");
    assert_int_equal(chmod(f->server_conf.key_file, 0600), 0);
    tls_ctx_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
    const struct CMUnitTest tests[] = {
        T(both_open_once_and_know_each_other),
        T(a_client_without_certificate_has_no_name),
        T(two_common_names_count_as_none),
        T(require_peer_refuses_a_client_without_certificate),
        T(require_peer_refuses_another_authority),
        T(require_peer_refuses_an_expired_certificate),
        T(the_client_refuses_a_wrong_name),
        T(the_client_refuses_a_wrong_address),
        T(the_client_refuses_to_check_no_name),
        T(the_client_accepts_the_address_of_the_certificate),
        T(the_client_refuses_an_unknown_authority),
        T(a_handshake_has_a_deadline),
        T(garbage_and_plain_http_fail_the_handshake),
        T(a_peer_that_leaves_in_the_handshake_fails_it),
        T(tls_1_1_is_refused),
        T(renegotiation_is_refused),
        T(a_key_update_in_mid_stream_loses_nothing),
        T(bad_configurations_are_refused_with_words),
    };

    return cmocka_run_group_tests(tests, pair_group_setup, pair_group_teardown);
}
