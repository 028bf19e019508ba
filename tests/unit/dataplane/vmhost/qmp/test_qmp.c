/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp - framing and the client, against a QEMU that the test plays: good, slow, gone, and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "common/net/net.h"
#include "dataplane/vmhost/qmp/qmp.h"
#include "dataplane/vmhost/qmp/qmp_msg.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"

/* ---- framing ---- */

static int read_all(const char *text, size_t part, unsigned kinds[4])
{
    struct qmp_reader r;
    struct qmp_msg m;
    struct err e = ERR_INIT;
    int res = QMP_READ_MORE;

    memset(kinds, 0, 4 * sizeof(*kinds));
    qmp_reader_init(&r);
    for (size_t at = 0, len = strlen(text); at < len && res >= 0; at += part) {
        assert_int_equal(buf_append(&r.in, text + at, len - at < part ? len - at : part), 0);
        while ((res = qmp_reader_next(&r, &m, &e)) == QMP_READ_OK) {
            kinds[m.kind]++;
            qmp_msg_deinit(&m);
        }
    }
    qmp_reader_deinit(&r);
    return res;
}

static void test_framing(void **state)
{
    const char *text = GREETING "{\"return\": {}, \"id\": 1}\r\n\r\n  \n{\"event\": \"STOP\", \"timestamp\": {}}\n"
                                "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n{\"return\": []}\n";
    unsigned kinds[4];

    (void) state;
    for (size_t part = 1; part < strlen(text) + 1; part++) {
        assert_int_equal(read_all(text, part, kinds), QMP_READ_MORE);
        assert_int_equal(kinds[QMP_GREETING], 1);
        assert_int_equal(kinds[QMP_RETURN], 2);
        assert_int_equal(kinds[QMP_EVENT], 1);
        assert_int_equal(kinds[QMP_ERROR], 1);
    }
}

static void test_nonsense(void **state)
{
    const char *const bad[] = {"x\n", "{}\n", "[]\n", "1\n", "{\"return\": {}\n", "{\"error\": 1}\n", "{\"error\": {}}\n", "{\"event\": 1}\n",
                               "{\"return\": {}} {\"return\": {}}\n", "\xff\n", "{\"return\": NaN}\n"};
    unsigned kinds[4];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(read_all(bad[i], 1000, kinds) < 0);
}

static void test_endless_line(void **state)
{
    struct qmp_reader r;
    struct qmp_msg m;
    struct err e = ERR_INIT;
    static char part[64 * KIB];
    int res = QMP_READ_MORE;

    (void) state;
    memset(part, ' ', sizeof(part));
    qmp_reader_init(&r);
    for (int i = 0; i < 100 && res >= 0; i++) {
        if (buf_append(&r.in, part, sizeof(part)) < 0)
            break;
        res = qmp_reader_next(&r, &m, &e);
    }
    assert_int_equal(res, -EMSGSIZE);
    qmp_reader_deinit(&r);
}

/* ---- the client ---- */

struct fixture {
    struct loop *loop;
    struct qmp *qmp;
    int qemu;
    unsigned ready, events, closed, done;
    int closed_r, done_r;
    char event[32], text[64];
    bool close_in_callback;
};

static void on_ready(void *arg)
{
    struct fixture *f = arg;

    f->ready++;
}

static void on_event(void *arg, const char *name, const struct json *data)
{
    struct fixture *f = arg;

    (void) data;
    f->events++;
    snprintf(f->event, sizeof(f->event), "%s", name);
    if (f->close_in_callback) {
        qmp_close(f->qmp);
        f->qmp = NULL;
    }
}

static void on_closed(void *arg, int r)
{
    struct fixture *f = arg;

    f->closed++;
    f->closed_r = r;
}

static void on_done(void *arg, int r, const struct json *data, const char *text)
{
    struct fixture *f = arg;

    f->done++;
    f->done_r = r;
    snprintf(f->text, sizeof(f->text), "%s", text ? text : data && json_str(json_get(data, "status")) ? json_str(json_get(data, "status")) : "");
    if (f->close_in_callback) {
        qmp_close(f->qmp);
        f->qmp = NULL;
    }
}

static int setup(void **state)
{
    static struct fixture f;
    static const struct qmp_ops ops = {.on_ready = on_ready, .on_event = on_event, .on_closed = on_closed};
    int pair[2];

    memset(&f, 0, sizeof(f));
    assert_int_equal(loop_new(&f.loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    f.qemu = pair[1];
    assert_int_equal(qmp_open(&f.qmp, f.loop, pair[0], &ops, &f), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    qmp_close(f->qmp);
    if (f->qemu >= 0)
        close(f->qemu);
    loop_free(f->loop);
    return 0;
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(f->loop, 5), 0);
}

static void qemu_says(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->qemu, text, strlen(text)), strlen(text));
    turn(f);
}

/* Reads a command; returns its id. fd: where a descriptor goes, or NULL. */
static unsigned qemu_hears(struct fixture *f, const char *command, int *fd)
{
    char text[1024], want[64];
    int fds[1];
    size_t nfds = 1;
    ssize_t n = net_recv_fds(f->qemu, text, sizeof(text) - 1, fds, &nfds);
    unsigned id = 0;

    assert_true(n > 0);
    text[n] = '\0';
    snprintf(want, sizeof(want), "{\"execute\":\"%s\",\"id\":", command);
    assert_memory_equal(text, want, strlen(want));
    assert_int_equal(sscanf(text + strlen(want), "%u", &id), 1);
    if (fd)
        *fd = nfds ? fds[0] : -1;
    else if (nfds)
        close(fds[0]);
    return id;
}

static void greet(struct fixture *f)
{
    char text[64];

    qemu_says(f, GREETING);
    snprintf(text, sizeof(text), "{\"return\": {}, \"id\": %u}\r\n", qemu_hears(f, "qmp_capabilities", NULL));
    qemu_says(f, text);
    assert_int_equal(f->ready, 1);
}

static void answer(struct fixture *f, unsigned id, const char *rest)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"id\": %u, %s}\r\n", id, rest);
    qemu_says(f, text);
}

static void test_call_waits_for_the_greeting(void **state)
{
    struct fixture *f = *state;
    struct op *op = NULL;
    char byte;

    assert_int_equal(qmp_call(f->qmp, "query-status", NULL, -1, 5000, &op, on_done, f), 0);
    turn(f);
    assert_int_equal(recv(f->qemu, &byte, 1, MSG_DONTWAIT), -1);
    greet(f);
    answer(f, qemu_hears(f, "query-status", NULL), "\"return\": {\"status\": \"running\"}");
    assert_int_equal(f->done, 1);
    assert_string_equal(f->text, "running");
    assert_null(op);
}

static void test_refusal(void **state)
{
    struct fixture *f = *state;

    greet(f);
    assert_int_equal(qmp_call(f->qmp, "cont", "{\"a\":1}", -1, 5000, NULL, on_done, f), 0);
    answer(f, qemu_hears(f, "cont", NULL), "\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}");
    assert_int_equal(f->done_r, QMP_E_REFUSED);
    assert_string_equal(f->text, "not now");
}

static void test_answers_in_any_order(void **state)
{
    struct fixture *f = *state;
    unsigned a, b;

    greet(f);
    assert_int_equal(qmp_call(f->qmp, "stop", NULL, -1, 5000, NULL, on_done, f), 0);
    a = qemu_hears(f, "stop", NULL);
    assert_int_equal(qmp_call(f->qmp, "cont", NULL, -1, 5000, NULL, on_done, f), 0);
    b = qemu_hears(f, "cont", NULL);
    answer(f, b, "\"return\": {}");
    answer(f, 4711, "\"return\": {}"); /* unknown: dropped */
    answer(f, a, "\"return\": {}");
    assert_int_equal(f->done, 2);
    assert_int_equal(f->closed, 0);
}

static void test_descriptor(void **state)
{
    struct fixture *f = *state;
    int got = -1;

    greet(f);
    assert_int_equal(qmp_call(f->qmp, "add-fd", "{\"fdset-id\":1}", STDIN_FILENO, 5000, NULL, on_done, f), 0);
    (void) qemu_hears(f, "add-fd", &got);
    assert_true(got >= 0);
    close(got);
}

static void test_deadline(void **state)
{
    struct fixture *f = *state;
    unsigned id;

    greet(f);
    assert_int_equal(qmp_call(f->qmp, "query-status", NULL, -1, 10, NULL, on_done, f), 0);
    id = qemu_hears(f, "query-status", NULL);
    for (int i = 0; i < 20 && !f->done; i++)
        assert_int_equal(loop_turn(f->loop, 10), 0);
    assert_int_equal(f->done_r, -ETIMEDOUT);
    answer(f, id, "\"return\": {}"); /* late */
    assert_int_equal(f->done, 1);
    assert_int_equal(f->closed, 0);
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    struct op *sent = NULL, *queued = NULL;
    unsigned id;

    assert_int_equal(qmp_call(f->qmp, "cont", NULL, -1, 5000, &queued, on_done, f), 0);
    op_cancel(&queued);
    greet(f);
    assert_int_equal(qmp_call(f->qmp, "stop", NULL, -1, 5000, &sent, on_done, f), 0);
    id = qemu_hears(f, "stop", NULL); /* and never cont */
    op_cancel(&sent);
    answer(f, id, "\"return\": {}");
    assert_int_equal(f->done, 0);
}

static void test_qemu_goes(void **state)
{
    const char *last_words = "{\"event\": \"SHUTDOWN\", \"data\": {}}\r\n";
    struct fixture *f = *state;

    greet(f);
    assert_int_equal(qmp_call(f->qmp, "stop", NULL, -1, 5000, NULL, on_done, f), 0);
    (void) qemu_hears(f, "stop", NULL);
    /* its last words are heard before its end */
    assert_int_equal(write(f->qemu, last_words, strlen(last_words)), strlen(last_words));
    close(f->qemu);
    f->qemu = -1;
    turn(f);
    assert_int_equal(f->events, 1);
    assert_string_equal(f->event, "SHUTDOWN");
    assert_int_equal(f->done, 1);
    assert_int_equal(f->done_r, -ECONNRESET);
    assert_int_equal(f->closed, 1);
    /* calls on a dead connection fail from the loop */
    assert_int_equal(qmp_call(f->qmp, "stop", NULL, -1, 5000, NULL, on_done, f), 0);
    turn(f);
    assert_int_equal(f->done, 2);
}

static void test_nonsense_ends_it(void **state)
{
    struct fixture *f = *state;

    qemu_says(f, "{\"QMP\": \r\n");
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->closed_r, -EPROTO);
}

static void test_greeted_twice(void **state)
{
    struct fixture *f = *state;

    greet(f);
    qemu_says(f, GREETING);
    assert_int_equal(f->closed_r, -EPROTO);
}

static void test_close_inside_an_event(void **state)
{
    struct fixture *f = *state;

    greet(f);
    f->close_in_callback = true;
    assert_int_equal(qmp_call(f->qmp, "stop", NULL, -1, 5000, NULL, on_done, f), 0);
    qemu_says(f, "{\"event\": \"A\"}\r\n{\"event\": \"B\"}\r\n{\"id\": 2, \"return\": {}}\r\n");
    assert_int_equal(f->events, 1);
    assert_int_equal(f->done, 0);
    assert_int_equal(f->closed, 0);
}

static void test_close_inside_an_answer_of_the_lost(void **state)
{
    struct fixture *f = *state;

    greet(f);
    f->close_in_callback = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(qmp_call(f->qmp, "stop", NULL, -1, 5000, NULL, on_done, f), 0);
    close(f->qemu);
    f->qemu = -1;
    turn(f);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->closed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test_setup_teardown(test_call_waits_for_the_greeting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_qemu_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greeted_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_inside_an_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_inside_an_answer_of_the_lost, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
