/* SPDX-License-Identifier: Apache-2.0 */
/* test_priv - the child's side against a parent that the test plays: order, descriptors, cancelled calls, a parent that goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "dataplane/vmhost/priv/priv.h"

struct fixture {
    struct loop *loop;
    struct priv *priv;
    int parent;
    unsigned done, gone;
    int r;
    int fd;
    uint64_t ids[8];
    unsigned seen;
};

static void on_gone(void *arg)
{
    struct fixture *f = arg;

    f->gone++;
}

static int setup(void **state)
{
    static struct fixture f;
    int pair[2];

    memset(&f, 0, sizeof(f));
    f.fd = -1;
    assert_int_equal(loop_new(&f.loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    f.parent = pair[1];
    assert_int_equal(priv_open(&f.priv, f.loop, pair[0], on_gone, &f), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    priv_close(f->priv);
    if (f->parent >= 0)
        close(f->parent);
    if (f->fd >= 0)
        close(f->fd);
    loop_free(f->loop);
    return 0;
}

static void on_done(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct fixture *f = arg;

    f->done++;
    f->r = r;
    if (rep && rep->nfds && f->fd < 0) {
        f->fd = fds[0];
        fds[0] = -1;
    }
}

static uint64_t parent_takes(struct fixture *f)
{
    union priv_message m;
    int fds[4];
    size_t nfds = 4;
    ssize_t n = net_recv_fds(f->parent, &m, sizeof(m), fds, &nfds);

    assert_true(n > 0);
    assert_int_equal(privop_check(&m, (size_t) n, nfds, NULL), 0);
    for (size_t i = 0; i < nfds; i++)
        close(fds[i]);
    return m.head.id;
}

static void parent_answers(struct fixture *f, uint64_t id, int result, int fd)
{
    struct priv_reply rep = {.id = id, .result = result};

    assert_int_equal(net_send_fds(f->parent, &rep, sizeof(rep), &fd, fd >= 0 ? 1 : 0), 0);
    assert_int_equal(loop_turn(f->loop, 100), 0);
}

static int fd_count(void)
{
    int n = 0;

    for (int i = 0; i < 256; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}

static void test_call(void **state)
{
    struct fixture *f = *state;
    struct op *op = NULL;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(priv_slot(f->priv, PRIV_SLOT_SOCKET, 5, &op, on_done, f), 0);
    assert_non_null(op);
    parent_answers(f, parent_takes(f), 0, null);
    assert_null(op);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->r, 0);
    assert_true(f->fd >= 0);
    close(null);
}

static void test_error(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(priv_slot(f->priv, PRIV_SLOT_DESTROY, 5, NULL, on_done, f), 0);
    parent_answers(f, parent_takes(f), -EAGAIN, -1);
    assert_int_equal(f->r, -EAGAIN);
}

/* Nobody waits any more, but the descriptor still comes: it must not stay open. */
static void test_cancelled(void **state)
{
    struct fixture *f = *state;
    struct op *op = NULL;
    int before = fd_count(), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(priv_slot(f->priv, PRIV_SLOT_SOCKET, 5, &op, on_done, f), 0);
    op_cancel(&op);
    parent_answers(f, parent_takes(f), 0, null);
    close(null);
    assert_int_equal(f->done, 0);
    assert_int_equal(fd_count(), before);
}

static void test_unknown_answers(void **state)
{
    struct fixture *f = *state;
    int before = fd_count(), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    parent_answers(f, 4711, 0, null);
    close(null);
    assert_int_equal(f->gone, 0);
    assert_int_equal(fd_count(), before);
}

static void test_parent_goes(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(priv_slot(f->priv, PRIV_SLOT_MAKE, i, NULL, on_done, f), 0);
    close(f->parent);
    f->parent = -1;
    for (int i = 0; i < 3 && !f->gone; i++)
        assert_int_equal(loop_turn(f->loop, 50), 0);
    assert_int_equal(f->done, 3);
    assert_int_equal(f->r, -ECONNRESET);
    assert_int_equal(f->gone, 1);
    /* calls that come later fail the same way, once */
    assert_int_equal(priv_slot(f->priv, PRIV_SLOT_MAKE, 9, NULL, on_done, f), 0);
    assert_int_equal(loop_turn(f->loop, 50), 0);
    assert_int_equal(f->done, 4);
}

/* More than the socket holds: the rest waits, in order. */
static void test_order_under_load(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 2000 };
    uint64_t last = 0;

    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(priv_slot(f->priv, PRIV_SLOT_MAKE, i % PRIV_SLOTS_MAX, NULL, on_done, f), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t id = parent_takes(f);

        assert_true(id > last);
        last = id;
        parent_answers(f, id, 0, -1);
    }
    for (int i = 0; i < 100 && f->done < COUNT; i++)
        assert_int_equal(loop_turn(f->loop, 0), 0);
    assert_int_equal(f->done, COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parent_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_under_load, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
