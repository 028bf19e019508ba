/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tls_pair - a TLS server and a client in one loop, for the TLS tests. Where a test cuts, the bytes go through a pump in the middle that
 * stops after a given count.
 */
#include <openssl/types.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/buf.h"
#include "common/loop/loop.h"
#include "common/net/stream.h"
#include "tests/unit/common/net/test_ca.h"

extern struct test_ca *ca, *other_ca;

struct end {
    struct loop *loop;
    struct stream *stream;
    unsigned seen, opens, calls, fails;
    unsigned close_on; /* close in the callback that brings one of these */
    struct buf in;
    size_t chunk;      /* bytes a read asks for; 0 = do not read */
    int end;           /* result of the read that was not bytes; 1 = none yet */
    const unsigned char *out;
    size_t out_len, out_sent;
    unsigned out_parts; /* parts per write; changes the length offered from call to call */
    char failure[200];
    bool shutdown_when_sent;
};

struct fixture {
    struct loop *loop;
    struct end server, client;
    struct tls_ctx *server_ctx, *client_ctx;
    struct tls_conf server_conf, client_conf;
    const char *server_name;
    int pump[2];           /* the middle: towards client, towards server; -1 = straight */
    size_t pump_limit[2];  /* bytes that may still pass from client, from server */
    uint64_t now_ns, real_ns;
};

int pair_group_setup(void **state);
int pair_group_teardown(void **state);
int pair_setup(void **state);
int pair_teardown(void **state);
char *pair_path(const char *file); /* in the CA's folder; owned by the caller */
void pair_sockets(int fds[2]);     /* with small buffers */
void pair_make_ctx(struct tls_ctx **out, const struct tls_conf *conf, bool server);
void pair_begin(struct fixture *f, bool with_pump);
void pair_pump(struct fixture *f, int from);
void pair_turn(struct fixture *f);
unsigned char *pair_pattern(size_t len); /* owned by the caller */
void end_on_event(void *arg, unsigned events);

#define WAIT_FOR(f, condition)                                                                     \
    do {                                                                                           \
        unsigned turns_ = 0;                                                                       \
        while (!(condition)) {                                                                     \
            if (turns_++ > 20000)                                                                  \
                fail_msg("never: %s", #condition);                                                 \
            pair_turn(f);                                                                               \
        }                                                                                          \
    } while (0)
