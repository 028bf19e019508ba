/* SPDX-License-Identifier: Apache-2.0 */
/* test_fdpass - descriptors over unix sockets; a cut message must leave none behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/net/net.h"

static int pair[2];

static int setup(void **state)
{
    (void) state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
    (void) state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static unsigned open_count(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static bool same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void descriptors_arrive_close_on_exec(void **state)
{
    int fds[2], got[4];
    size_t n = ARRAY_LEN(got);
    char text[16];

    (void) state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(net_send_fds(pair[0], "hello", 5, fds, 2), 0);
    assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), got, &n), 5);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(n, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(same_file(fds[i], got[i]));
        assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
        close(got[i]);
        close(fds[i]);
    }
}

static void a_message_without_descriptors_is_fine(void **state)
{
    int got[1];
    size_t n = 1;
    char text[8];

    (void) state;
    assert_int_equal(net_send_fds(pair[0], "x", 1, NULL, 0), 0);
    assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), got, &n), 1);
    assert_int_equal(n, 0);
    assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), got, &n), -EAGAIN);
    close(pair[0]);
    assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), NULL, NULL), 0);
    pair[0] = -1;
}

static void truncated_messages_are_refused_and_leak_nothing(void **state)
{
    int fds[3] = {0, 1, 2}, got[16];
    unsigned before = open_count();
    size_t n;
    char text[4];

    (void) state;
    n = 3;
    assert_int_equal(net_send_fds(pair[0], "too long", 8, fds, 3), 0);
    assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), got, &n), -EMSGSIZE);
    assert_int_equal(n, 0);
    for (n = 0; n < 3;) { /* room for fewer than come */
        size_t room = n;

        assert_int_equal(net_send_fds(pair[0], "abc", 3, fds, 3), 0);
        assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), got, &room), -EMSGSIZE);
        assert_int_equal(room, 0);
        n++;
    }
    assert_int_equal(net_send_fds(pair[0], "abc", 3, fds, 3), 0);
    assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), NULL, NULL), -EMSGSIZE);
    assert_int_equal(open_count(), before);
}

static void more_than_sixteen_are_refused_by_either_side(void **state)
{
    int fds[32] = {0}, got[16];
    size_t n = ARRAY_LEN(got);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control;
    struct iovec iov = {(void *) "x", 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    unsigned before = open_count();
    char text[4];

    (void) state;
    assert_int_equal(net_send_fds(pair[0], "x", 1, fds, 17), -EINVAL);
    assert_int_equal(net_send_fds(pair[0], "", 0, fds, 1), -EINVAL);
    memset(&control, 0, sizeof(control));
    CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
    CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
    CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, sizeof(fds));
    assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
    assert_int_equal(net_recv_fds(pair[1], text, sizeof(text), got, &n), -EMSGSIZE);
    assert_int_equal(open_count(), before);
}

static void a_full_or_closed_socket_is_an_error_not_a_signal(void **state)
{
    char bytes[1024] = {0};
    int r;

    (void) state;
    do {
        r = net_send_fds(pair[0], bytes, sizeof(bytes), NULL, 0);
    } while (r == 0);
    assert_int_equal(r, -EAGAIN);
    close(pair[1]);
    r = net_send_fds(pair[0], bytes, 1, NULL, 0); /* a reset first: it had not read everything */
    assert_true(r == -EPIPE || r == -ECONNRESET);
    pair[1] = -1;
}

static void the_peers_identity_is_known(void **state)
{
    pid_t pid = 0;
    uid_t uid = (uid_t) -1;

    (void) state;
    assert_int_equal(net_peer_cred(pair[0], &pid, &uid), 0);
    assert_int_equal(pid, getpid());
    assert_int_equal(uid, geteuid());
    assert_int_equal(net_peer_cred(pair[0], NULL, NULL), 0);
    assert_int_equal(net_peer_cred(-1, &pid, &uid), -EBADF);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(descriptors_arrive_close_on_exec),
        T(a_message_without_descriptors_is_fine),
        T(truncated_messages_are_refused_and_leak_nothing),
        T(more_than_sixteen_are_refused_by_either_side),
        T(a_full_or_closed_socket_is_an_error_not_a_signal),
        T(the_peers_identity_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
