/* SPDX-License-Identifier: Apache-2.0 */
/* test_session - names of signals; a group's signal reaches other groups of the session (hazard 8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent/procs/session.h"

static void test_names(void **state)
{
    (void) state;
    assert_int_equal(signal_number("SIGTERM"), SIGTERM);
    assert_int_equal(signal_number("TERM"), SIGTERM);
    assert_int_equal(signal_number("sigkill"), SIGKILL);
    assert_int_equal(signal_number("15"), 15);
    assert_int_equal(signal_number("64"), 64);
    assert_int_equal(signal_number("0"), 0);
    assert_int_equal(signal_number("65"), 0);
    assert_int_equal(signal_number("-9"), 0);
    assert_int_equal(signal_number(""), 0);
    assert_int_equal(signal_number("SIG"), 0);
    assert_int_equal(signal_number("SIGTERMX"), 0);
}

/* A leader with a child in a group of its own, as a shell makes for a job. */
static void hz08_session_reaches_other_groups(void **state)
{
    int p[2], status;
    char c;

    (void) state;
    assert_int_equal(pipe(p), 0);
    pid_t leader = fork();

    if (leader == 0) {
        setsid();
        if (fork() == 0)
            setpgid(0, 0);
        c = 'x';
        if (write(p[1], &c, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(p[1]);
    assert_int_equal(read(p[0], &c, 1), 1);
    assert_int_equal(read(p[0], &c, 1), 1); /* both run */
    session_kill(leader, SIGKILL, true);
    assert_int_equal(waitpid(leader, &status, 0), leader);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(read(p[0], &c, 1), 0); /* the other has gone too: nobody holds the pipe */
    close(p[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(hz08_session_reaches_other_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
