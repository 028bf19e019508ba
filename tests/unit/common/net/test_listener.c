/* SPDX-License-Identifier: Apache-2.0 */
/* test_listener - accepting, running out of descriptors, socket files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/loop/loop.h"
#include "common/net/net.h"

enum { ACCEPTED_MAX = 256 };

struct fixture {
    struct loop *loop;
    struct listener *listener, *second;
    int accepted[ACCEPTED_MAX];
    unsigned count;
    int family;
    unsigned close_after; /* close the listener in the callback that makes this count */
    char dir[64], path[128];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(loop_new(&f->loop), 0);
    strcpy(f->dir, "/tmp/biv-listener-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/s.sock", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    listener_close(f->listener);
    listener_close(f->second);
    for (unsigned i = 0; i < f->count; i++)
        close(f->accepted[i]);
    loop_free(f->loop);
    unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0); /* nothing is left behind */
    free(f);
    return 0;
}

static void on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t len)
{
    struct fixture *f = arg;

    assert_true(f->count < ACCEPTED_MAX);
    f->accepted[f->count++] = fd;
    f->family = len >= sizeof(sa_family_t) ? peer->sa_family : AF_UNSPEC;
    if (f->count == f->close_after) {
        listener_close(f->listener);
        f->listener = NULL;
    }
}

static int dial(const char *host, uint16_t port)
{
    struct net_addr a;
    char text[64];
    int fd;

    snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    assert_int_equal(net_addr_parse(&a, text, NULL), 0);
    fd = socket(a.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *) &a.sa, a.len), 0);
    return fd;
}

static void open_tcp(struct fixture *f, const char *host)
{
    struct err e = ERR_INIT;

    if (listener_open_tcp(&f->listener, f->loop, host, 0, false, on_accept, f, &e) < 0)
        fail_msg("%s", e.text);
}

static void accepted_sockets_are_nonblocking_cloexec_and_without_delay(void **state)
{
    struct fixture *f = *state;
    int fd, on = 0;
    socklen_t len = sizeof(on);

    open_tcp(f, "127.0.0.1");
    assert_int_not_equal(listener_port(f->listener), 0);
    fd = dial("127.0.0.1", listener_port(f->listener));
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->count, 1);
    assert_int_equal(f->family, AF_INET);
    assert_true(fcntl(f->accepted[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(f->accepted[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(f->accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_true(on);
    close(fd);
}

static void both_loopback_addresses_can_have_the_same_port(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    int fd;

    open_tcp(f, "0.0.0.0");
    if (listener_open_tcp(&f->second, f->loop, "::", listener_port(f->listener), false, on_accept, f, &e) < 0) {
        if (e.code == -EAFNOSUPPORT || e.code == -EADDRNOTAVAIL)
            skip(); /* no IPv6 here */
        fail_msg("%s", e.text);
    }
    fd = dial("::1", listener_port(f->listener));
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->family, AF_INET6);
    close(fd);
    fd = dial("127.0.0.1", listener_port(f->listener));
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->family, AF_INET);
    close(fd);
}

static void a_port_in_use_says_what_to_do(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    int r;

    open_tcp(f, "127.0.0.1");
    r = listener_open_tcp(&f->second, f->loop, "127.0.0.1", listener_port(f->listener), false, on_accept, f, &e);
    assert_int_equal(r, -EADDRINUSE);
    assert_non_null(strstr(e.text, "another process"));
    assert_null(f->second);
    assert_int_equal(listener_open_tcp(&f->second, f->loop, "localhost", 0, false, on_accept, f, &e), -EINVAL);
}

static void reuseport_lets_workers_share_a_port(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(listener_open_tcp(&f->listener, f->loop, "127.0.0.1", 0, true, on_accept, f, NULL), 0);
    assert_int_equal(listener_open_tcp(&f->second, f->loop, "127.0.0.1", listener_port(f->listener), true, on_accept, f, NULL), 0);
}

static void a_turn_accepts_a_bounded_number(void **state)
{
    struct fixture *f = *state;
    int fds[100];

    open_tcp(f, "127.0.0.1");
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial("127.0.0.1", listener_port(f->listener));
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->count, 64);
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->count, 100);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void a_paused_listener_accepts_nothing(void **state)
{
    struct fixture *f = *state;
    int fd;

    open_tcp(f, "127.0.0.1");
    fd = dial("127.0.0.1", listener_port(f->listener));
    listener_pause(f->listener, true);
    assert_int_equal(loop_turn(f->loop, 20), 0);
    assert_int_equal(f->count, 0);
    listener_pause(f->listener, false);
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->count, 1);
    close(fd);
}

static void a_listener_may_be_closed_while_it_accepts(void **state)
{
    struct fixture *f = *state;
    int a, b;

    open_tcp(f, "127.0.0.1");
    f->close_after = 1;
    a = dial("127.0.0.1", listener_port(f->listener));
    b = dial("127.0.0.1", listener_port(f->listener));
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->count, 1);
    close(a);
    close(b);
}

static void out_of_descriptors_it_rests_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, low;
    unsigned turns = 0;
    int fd, spare;

    open_tcp(f, "127.0.0.1");
    fd = dial("127.0.0.1", listener_port(f->listener));
    spare = dup(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t) spare; /* no number below it is free */
    close(spare);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->count, 0);
    assert_int_equal(loop_turn(f->loop, 30), 0); /* does not spin: this turn waits */
    assert_int_equal(f->count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    while (f->count == 0 && turns++ < 100)
        assert_int_equal(loop_turn(f->loop, 5000), 0);
    assert_int_equal(f->count, 1);
    close(fd);
}

/* ---- unix ---- */

static void unix_sockets_are_replaced_have_their_mode_and_are_removed(void **state)
{
    struct fixture *f = *state;
    struct stat first, second;
    mode_t mask = umask(0077);

    assert_int_equal(listener_open_unix(&f->listener, f->loop, f->path, SOCK_SEQPACKET, 0660, on_accept, f, NULL), 0);
    umask(mask);
    assert_int_equal(lstat(f->path, &first), 0);
    assert_true(S_ISSOCK(first.st_mode));
    assert_int_equal(first.st_mode & 0777, 0660);
    assert_int_equal(listener_open_unix(&f->second, f->loop, f->path, SOCK_STREAM, 0600, on_accept, f, NULL), 0);
    listener_close(f->listener); /* must not take its successor's file with it */
    f->listener = NULL;
    assert_int_equal(lstat(f->path, &second), 0);
    assert_int_equal(second.st_mode & 0777, 0600);
    listener_close(f->second);
    f->second = NULL;
    assert_int_equal(lstat(f->path, &second), -1);
}

static void unix_refuses_other_files_and_long_paths(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    char path[200];
    int fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    close(fd);
    assert_int_equal(listener_open_unix(&f->listener, f->loop, f->path, SOCK_STREAM, 0600, on_accept, f, &e), -EEXIST);
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    path[0] = '/';
    assert_int_equal(listener_open_unix(&f->listener, f->loop, path, SOCK_STREAM, 0600, on_accept, f, &e), -ENAMETOOLONG);
    assert_int_equal(listener_open_unix(&f->listener, f->loop, "/nonexistent/x", SOCK_STREAM, 0600, on_accept, f, &e), -ENOENT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(accepted_sockets_are_nonblocking_cloexec_and_without_delay),
        T(both_loopback_addresses_can_have_the_same_port),
        T(a_port_in_use_says_what_to_do),
        T(reuseport_lets_workers_share_a_port),
        T(a_turn_accepts_a_bounded_number),
        T(a_paused_listener_accepts_nothing),
        T(a_listener_may_be_closed_while_it_accepts),
        T(out_of_descriptors_it_rests_and_recovers),
        T(unix_sockets_are_replaced_have_their_mode_and_are_removed),
        T(unix_refuses_other_files_and_long_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
