/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_link - every type there and back, byte by byte, and what a hostile peer may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wire/agent_link.h"

#define DATA(text) .data = (const uint8_t *) (text), .data_len = sizeof(text) - 1
#define PID(text) .pid = (text), .pid_len = sizeof(text) - 1

static const struct link_msg samples[] = {
    {.type = LINK_START, .req = 1, DATA("{\"cmd\":\"true\"}")},
    {.type = LINK_STDIN, .req = 0xfffffffe, PID("proc-1"), DATA("in\0put")},
    {.type = LINK_STDIN, .req = 2, PID("p")},
    {.type = LINK_CLOSE_STDIN, .req = 3, PID("a:b_c.D-9")},
    {.type = LINK_SIGNAL, .req = 4, PID("p"), DATA("{\"signal\":15}")},
    {.type = LINK_RESIZE, .req = 5, PID("p"), .cols = 1000, .rows = 1},
    {.type = LINK_ACK, .cursor = UINT64_MAX, PID("p")},
    {.type = LINK_RESEND, .cursor = 0, PID("p")},
    {.type = LINK_PING, .req = 7},
    {.type = LINK_RESULT, .req = 1, DATA("{}")},
    {.type = LINK_FRAME, .kind = LINK_STARTED, .cursor = 1, PID("p"), DATA("{}")},
    {.type = LINK_FRAME, .kind = LINK_STDOUT, .cursor = 3, PID("p"), DATA("\xff\0x")},
    {.type = LINK_FRAME, .kind = LINK_STDERR, .cursor = 5, PID("p")},
    {.type = LINK_FRAME, .kind = LINK_PTY, .cursor = UINT64_MAX, PID("p"), DATA("x")},
    {.type = LINK_FRAME, .kind = LINK_EXIT, .cursor = 7, PID("p"), DATA("{}")},
    {.type = LINK_SYNCED},
    {.type = LINK_PONG, .req = 7},
    {.type = LINK_LOST, .cursor = 3, .cursor_to = 9, PID("p")},
};

static void assert_same(const struct link_msg *a, const struct link_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->req, b->req);
    assert_int_equal(a->kind, b->kind);
    assert_true(a->cursor == b->cursor && a->cursor_to == b->cursor_to);
    assert_int_equal(a->pid_len, b->pid_len);
    assert_memory_equal(a->pid ? a->pid : "", b->pid ? b->pid : "", a->pid_len);
    assert_int_equal(a->cols, b->cols);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->data_len, b->data_len);
    if (a->data_len)
        assert_memory_equal(a->data, b->data, a->data_len);
}

static void test_round_trips(void **state)
{
    struct buf out = BUF_INIT(0);
    size_t used;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        assert_int_equal(link_encode(&out, &samples[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct link_msg m;

        assert_int_equal(link_decode(buf_data(&out), out.len, &m, &used), LINK_E_OK);
        assert_same(&m, &samples[i]);
        buf_consume(&out, used);
    }
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
}

static void test_bytes(void **state)
{
    static const uint8_t want[] = {17, 0, 0, 0, 65, 2, 3, 0, 0, 0, 0, 0, 0, 0, 2, 'a', 'b', 'h', 'i', '!', '!'};
    const struct link_msg m = {.type = LINK_FRAME, .kind = LINK_STDOUT, .cursor = 3, PID("ab"), DATA("hi!!")};
    struct buf out = BUF_INIT(0);

    (void) state;
    assert_int_equal(link_encode(&out, &m), 0);
    assert_int_equal(out.len, sizeof(want));
    assert_memory_equal(buf_data(&out), want, sizeof(want));
    buf_deinit(&out);
}

/* Every prefix asks for more, every shortened length is refused and nothing outside is read. */
static void test_cut(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct buf out = BUF_INIT(0);
        struct link_msg m;
        size_t used;

        assert_int_equal(link_encode(&out, &samples[i]), 0);
        for (size_t len = 0; len < out.len; len++) {
            uint8_t *exact = malloc(len ? len : 1);

            assert_non_null(exact);
            memcpy(exact, buf_data(&out), len);
            assert_int_equal(link_decode(exact, len, &m, &used), LINK_E_MORE);
            if (len > 4) { /* the message says that it ends here */
                exact[0] = (uint8_t) (len - 4);
                int r = link_decode(exact, len, &m, &used);

                assert_true(r == LINK_E_BAD || (r == LINK_E_OK && used == len));
            }
            free(exact);
        }
        buf_deinit(&out);
    }
}

static void refuse(const void *p, size_t len)
{
    struct link_msg m;
    size_t used = 77;

    assert_int_equal(link_decode(p, len, &m, &used), LINK_E_BAD);
    assert_int_equal(used, 77);
}

static void test_hz31_hostile_bytes(void **state)
{
    (void) state;
    refuse("\0\0\0\0", 4);                                         /* no type */
    refuse("\x01\x00\x10\x00", 4);                                 /* longer than the limit: at once */
    refuse("\xff\xff\xff\xff", 4);
    refuse("\x05\0\0\0\x00", 5);                                   /* unknown types: at once */
    refuse("\x05\0\0\0\x09", 5);
    refuse("\x05\0\0\0\x3f", 5);
    refuse("\x05\0\0\0\x45", 5);
    refuse("\x01\0\0\0\x08", 5);                                   /* PING without its number */
    refuse("\x06\0\0\0\x08\x01\0\0\0x", 10);                       /* and with too much */
    refuse("\x02\0\0\0\x42x", 6);
    refuse("\x06\0\0\0\x03\x01\0\0\0\0", 10);                      /* empty pid */
    refuse("\x07\0\0\0\x03\x01\0\0\0\x02p", 11);                   /* pid longer than the message */
    refuse("\x07\0\0\0\x03\x01\0\0\0\x01/", 11);                   /* pid with a slash */
    refuse("\x07\0\0\0\x03\x01\0\0\0\x01\0", 11);                  /* with a NUL */
    refuse("\x0b\0\0\0\x05\x01\0\0\0\x01p\0\0\x01\0", 15);         /* no columns */
    refuse("\x0b\0\0\0\x05\x01\0\0\0\x01p\xe9\x03\x01\0", 15);     /* 1001 columns */
    refuse("\x0d\0\0\0\x41\0\x03\0\0\0\0\0\0\0\x01px", 17);        /* frame of kind 0 */
    refuse("\x0d\0\0\0\x41\x06\x03\0\0\0\0\0\0\0\x01px", 17);      /* of kind 6 */
    refuse("\x0d\0\0\0\x41\x02\x04\0\0\0\0\0\0\0\x01px", 17);      /* even cursor */
    refuse("\x0d\0\0\0\x41\x02\x01\0\0\0\0\0\0\0\x01px", 17);      /* stdout at cursor 1 */
    refuse("\x0d\0\0\0\x41\x01\x03\0\0\0\0\0\0\0\x01px", 17);      /* started at cursor 3 */
    refuse("\x0c\0\0\0\x41\x05\x03\0\0\0\0\0\0\0\x01p", 16);       /* exit without words */
    refuse("\x13\0\0\0\x44\x05\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01p", 23); /* LOST backwards */
}

static void test_sizes(void **state)
{
    static uint8_t data[LINK_MESSAGE_MAX];
    static char pid[LINK_PID_MAX + 2];
    struct buf out = BUF_INIT(3 * MIB), small = BUF_INIT(20);
    struct link_msg m = {.type = LINK_FRAME, .kind = LINK_STDOUT, .cursor = 3, PID("p"), .data = data, .data_len = LINK_DATA_MAX};
    struct link_msg back;
    size_t used;

    (void) state;
    memset(pid, 'p', sizeof(pid) - 1);
    assert_int_equal(link_encode(&out, &m), 0);
    assert_int_equal(link_decode(buf_data(&out), out.len, &back, &used), LINK_E_OK);
    assert_int_equal(link_encode(&small, &m), -ENOBUFS);
    assert_int_equal(small.len, 0);
    m.data_len++;
    assert_int_equal(link_encode(&out, &m), -EINVAL);
    m = (struct link_msg){.type = LINK_STDIN, .pid = pid, .pid_len = LINK_PID_MAX, .data = data,
                          .data_len = LINK_MESSAGE_MAX - 1 - 4 - 1 - LINK_PID_MAX};
    assert_int_equal(link_encode(&out, &m), 0);
    m.data_len++;
    assert_int_equal(link_encode(&out, &m), -EINVAL);
    m.data_len = 1;
    m.pid_len++;
    assert_int_equal(link_encode(&out, &m), -EINVAL);
    m.type = (enum link_type) 9;
    assert_int_equal(link_encode(&out, &m), -EINVAL);
    buf_deinit(&out);
    buf_deinit(&small);
}

static void test_json_bodies(void **state)
{
    char cmd[] = "echo", cwd[] = "/workspace", user[] = "user", tag[] = "t", a[] = "x\"y", k[] = "K", v[] = "V", why[] = "timeout";
    char *args[] = {a};
    struct json_pair env = {k, v};
    struct link_start start = {.cmd = cmd, .cwd = cwd, .user = user, .args = {args, 1}, .env = {&env, 1}, .stdin_open = true,
                               .timeout_ms = 1000, .has_pty = true, .pty = {80, 24}}, start_back;
    struct link_started started = {.os_pid = 7, .started_at_us = 5, .cmd = cmd, .tag = tag, .args = {args, 1}, .pty = true}, started_back;
    struct link_result result = {.error = why, .message = tag}, result_back;
    struct link_signal sig = {.signal = 9, .group = true}, sig_back;
    struct link_exit end = {.exit_code = -9, .error = why, .finished_at_us = 6}, end_back;
    struct arena *arena = arena_new(0);
    struct buf out = BUF_INIT(0);

    (void) state;
    assert_int_equal(link_write_start(&out, &start), 0);
    assert_int_equal(json_decode(&link_start_table, buf_data(&out), out.len, arena, &start_back, NULL), 0);
    assert_true(start_back.has_pty && start_back.pty.cols == 80 && start_back.stdin_open && start_back.timeout_ms == 1000);
    assert_string_equal(start_back.args.items[0], "x\"y");
    assert_string_equal(start_back.env.items[0].key, "K");
    assert_null(start_back.id);
    buf_clear(&out);
    assert_int_equal(link_write_started(&out, &started), 0);
    assert_int_equal(json_decode(&link_started_table, buf_data(&out), out.len, arena, &started_back, NULL), 0);
    assert_true(started_back.os_pid == 7 && started_back.pty && !started_back.stdin_open && !started_back.cwd);
    assert_string_equal(started_back.tag, "t");
    buf_clear(&out);
    assert_int_equal(link_write_result(&out, &result), 0);
    assert_int_equal(json_decode(&link_result_table, buf_data(&out), out.len, arena, &result_back, NULL), 0);
    assert_string_equal(result_back.error, "timeout");
    assert_int_equal(result_back.os_pid, 0);
    buf_clear(&out);
    assert_int_equal(link_write_signal(&out, &sig), 0);
    assert_int_equal(json_decode(&link_signal_table, buf_data(&out), out.len, arena, &sig_back, NULL), 0);
    assert_true(sig_back.signal == 9 && sig_back.group);
    buf_clear(&out);
    assert_int_equal(link_write_exit(&out, &end), 0);
    assert_int_equal(json_decode(&link_exit_table, buf_data(&out), out.len, arena, &end_back, NULL), 0);
    assert_true(end_back.exit_code == -9 && end_back.finished_at_us == 6);
    assert_string_equal(end_back.error, "timeout");
    buf_deinit(&out);
    arena_free(arena);
}

/* An exit that is not one is refused: no code is ever made up from what an agent sends. */
static void test_hz03_exit_needs_a_code(void **state)
{
    static const char *const bad[] = {"{}", "{\"exit_code\":null,\"finished_at_us\":1}", "{\"exit_code\":\"0\",\"finished_at_us\":1}",
                                      "{\"exit_code\":256,\"finished_at_us\":1}", "{\"exit_code\":-65,\"finished_at_us\":1}",
                                      "{\"exit_code\":0}"};
    struct arena *arena = arena_new(0);
    struct link_exit m;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(json_decode(&link_exit_table, bad[i], strlen(bad[i]), arena, &m, NULL), -EINVAL);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_bytes), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_hz31_hostile_bytes), cmocka_unit_test(test_sizes), cmocka_unit_test(test_json_bodies),
        cmocka_unit_test(test_hz03_exit_needs_a_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
