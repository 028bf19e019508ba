/* SPDX-License-Identifier: Apache-2.0 */
/* test_gate - the client of gate.sock against a socket that the test plays. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "common/wire/gate_link.h"
#include "dataplane/gateway/gate/gate.h"

#define ROUTE(id)                                                                                                                       \
    "{\"t\":\"route\",\"id\":\"" id "\",\"rt\":\"aaaaaaaaaaaaaaaaaaaaaaaa\",\"generation\":1,\"state\":\"running\","                        \
    "\"agent_token\":\"x\"}"

struct world {
    struct loop *loop;
    char folder[64], path[96];
    int listener, peer;
    struct gate *gate;
    char said[256];
};

static void say(struct world *x, const char *what)
{
    strncat(x->said, what, sizeof(x->said) - strlen(x->said) - 1);
}

static void on_up(void *arg)
{
    say(arg, "up ");
}

static void on_route(void *arg, const struct gate_msg *m)
{
    say(arg, "route:");
    say(arg, m->id);
    say(arg, " ");
}

static void on_gone(void *arg, const struct gate_msg *m)
{
    say(arg, "gone:");
    say(arg, m->reason);
    say(arg, " ");
}

static void on_synced(void *arg)
{
    say(arg, "synced ");
}

static void on_down(void *arg)
{
    say(arg, "down ");
}

static void listen_here(struct world *x)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    unlink(x->path);
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", x->path);
    x->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(x->listener >= 0);
    assert_int_equal(bind(x->listener, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(x->listener, 4), 0);
}

static int setup(void **state)
{
    static const struct gate_ops ops = {on_up, on_route, on_gone, on_synced, on_down};
    struct world *x = xnew(struct world);

    x->peer = -1;
    strcpy(x->folder, "/tmp/test-gate-XXXXXX");
    assert_non_null(mkdtemp(x->folder));
    snprintf(x->path, sizeof(x->path), "%s/gate.sock", x->folder);
    listen_here(x);
    assert_int_equal(loop_new(&x->loop), 0);
    x->gate = gate_new(x->loop, x->path, &ops, x);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct world *x = *state;

    gate_free(x->gate);
    (void) !loop_turn(x->loop, 0);
    loop_free(x->loop);
    if (x->peer >= 0)
        close(x->peer);
    if (x->listener >= 0)
        close(x->listener);
    unlink(x->path);
    rmdir(x->folder);
    free(x);
    return 0;
}

/* Runs the loop until check() or for two seconds. */
#define UNTIL(x, check)                                                                                                                 \
    do {                                                                                                                                \
        uint64_t end_ = clock_mono_ms() + 2000;                                                                                         \
        while (!(check)) {                                                                                                              \
            assert_true(clock_mono_ms() < end_);                                                                                        \
            assert_int_equal(loop_turn((x)->loop, 20), 0);                                                                              \
        }                                                                                                                               \
    } while (0)

static void tell(struct world *x, const char *text)
{
    assert_int_equal(send(x->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

/* The next packet of the gateway. */
static void expect(struct world *x, char *out, size_t size)
{
    ssize_t n = -1;

    UNTIL(x, (n = recv(x->peer, out, size - 1, MSG_DONTWAIT)) >= 0);
    out[n] = '\0';
}

static void greet(struct world *x)
{
    char text[256];

    UNTIL(x, (x->peer = accept4(x->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    expect(x, text, sizeof(text));
    assert_string_equal(text, "{\"t\":\"hello\",\"v\":1}");
    tell(x, "{\"t\":\"hello\",\"v\":1,\"host\":\"h\"}");
}

static void sync_up(struct world *x)
{
    greet(x);
    tell(x, "{\"t\":\"synced\"}");
    UNTIL(x, gate_state(x->gate) == GATE_STATE_SYNCED);
}

static void drop_peer(struct world *x)
{
    close(x->peer);
    x->peer = -1;
}

struct asked {
    unsigned calls;
    int r, fd;
};

static void on_connected(void *arg, int r, int fd)
{
    struct asked *a = arg;

    a->calls++;
    a->r = r;
    a->fd = fd;
}

static uint64_t request_of(struct world *x)
{
    char text[256], *req;

    expect(x, text, sizeof(text));
    assert_non_null(strstr(text, "\"t\":\"connect\""));
    req = strstr(text, "\"req\":");
    assert_non_null(req);
    return strtoull(req + 6, NULL, 10);
}

static void answer(struct world *x, uint64_t req, const char *more, const int *fds, size_t nfds)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "{\"t\":\"connected\",\"req\":%llu%s}", (unsigned long long) req, more);

    assert_int_equal(net_send_fds(x->peer, text, (size_t) n, fds, nfds), 0);
}

static void test_routes_in_order(void **state)
{
    struct world *x = *state;

    greet(x);
    tell(x, ROUTE("1"));
    tell(x, ROUTE("2"));
    tell(x, "{\"t\":\"synced\"}");
    tell(x, "{\"t\":\"gone\",\"id\":\"1\",\"rt\":\"a\",\"generation\":1,\"reason\":\"killed\"}");
    UNTIL(x, strstr(x->said, "gone"));
    assert_string_equal(x->said, "up route:1 route:2 synced gone:killed ");
}

static void test_a_descriptor_comes_with_the_answer(void **state)
{
    struct world *x = *state;
    struct asked a = {0}, b = {0};
    struct op *ops[2] = {NULL};
    int pair[2];

    sync_up(x);
    gate_connect(x->gate, "1", 5000, &ops[0], on_connected, &a);
    gate_connect(x->gate, "2", 5000, &ops[1], on_connected, &b);
    uint64_t first = request_of(x), second = request_of(x);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    answer(x, second, ",\"error\":\"vm_not_found\",\"message\":\"m\"", NULL, 0);
    answer(x, first, "", &pair[0], 1);
    UNTIL(x, a.calls && b.calls);
    assert_int_equal(b.r, -ENOENT);
    assert_int_equal(a.r, 0);
    assert_true(fcntl(a.fd, F_GETFD) & FD_CLOEXEC);
    assert_null(ops[0]);
    assert_int_equal(gate_pending(x->gate), 0);
    close(a.fd);
    close(pair[0]);
    close(pair[1]);
}

static void test_no_descriptor_is_no_connection(void **state)
{
    struct world *x = *state;
    struct asked a = {0};
    struct op *op = NULL;

    sync_up(x);
    gate_connect(x->gate, "1", 5000, &op, on_connected, &a);
    answer(x, request_of(x), "", NULL, 0);
    UNTIL(x, a.calls);
    assert_int_equal(a.r, -ECONNREFUSED);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_descriptors_that_nobody_waits_for_are_closed(void **state)
{
    struct world *x = *state;
    struct asked a = {0};
    struct op *op = NULL;
    int pair[2];

    sync_up(x);
    gate_connect(x->gate, "1", 5000, &op, on_connected, &a);
    uint64_t req = request_of(x);

    op_cancel(&op);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    unsigned before = open_descriptors();

    answer(x, req, "", pair, 2);
    answer(x, 999, "", pair, 2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_turn(x->loop, 5), 0);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(a.calls, 0);
    close(pair[0]);
    close(pair[1]);
}

static void test_a_deadline(void **state)
{
    struct world *x = *state;
    struct asked a = {0};
    struct op *op = NULL;

    sync_up(x);
    gate_connect(x->gate, "1", 30, &op, on_connected, &a);
    UNTIL(x, a.calls);
    assert_int_equal(a.r, -ETIMEDOUT);
}

static void test_connects_wait_for_vmhost(void **state)
{
    struct world *x = *state;
    struct asked a = {0}, late = {0};
    struct op *ops[2] = {NULL};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    sync_up(x);
    gate_connect(x->gate, "1", 1500, &ops[0], on_connected, &a);
    (void) request_of(x);
    drop_peer(x); /* vmhost dies with our question */
    UNTIL(x, gate_state(x->gate) != GATE_STATE_SYNCED);
    gate_connect(x->gate, "2", 50, &ops[1], on_connected, &late);
    UNTIL(x, late.calls);
    assert_int_equal(late.r, -ETIMEDOUT);
    assert_int_equal(a.calls, 0);
    sync_up(x); /* it is asked again */
    answer(x, request_of(x), "", &fd, 1);
    UNTIL(x, a.calls);
    assert_int_equal(a.r, 0);
    assert_string_equal(x->said, "up synced down up synced ");
    close(a.fd);
    close(fd);
}

static void test_nonsense_ends_the_connection(void **state)
{
    static const char *const bad[] = {"{", "[]", "{\"t\":\"what\"}", "{\"t\":\"route\"}", "{\"t\":\"hello\",\"v\":1}", "{\"t\":\"synced\"}",
                                      "{\"t\":\"connect\",\"req\":1,\"id\":\"1\"}"};
    struct world *x = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        sync_up(x);
        tell(x, bad[i]);
        UNTIL(x, gate_state(x->gate) == GATE_STATE_DOWN);
        drop_peer(x);
    }
}

static void test_another_version_is_not_spoken(void **state)
{
    struct world *x = *state;
    char text[256];

    UNTIL(x, (x->peer = accept4(x->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    expect(x, text, sizeof(text));
    tell(x, "{\"t\":\"hello\",\"v\":2,\"host\":\"h\"}");
    UNTIL(x, gate_state(x->gate) == GATE_STATE_DOWN);
    assert_null(strstr(x->said, "up"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_routes_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_descriptor_comes_with_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptor_is_no_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors_that_nobody_waits_for_are_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connects_wait_for_vmhost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_ends_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_version_is_not_spoken, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
