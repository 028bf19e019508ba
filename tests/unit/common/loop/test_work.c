/* SPDX-License-Identifier: Apache-2.0 */
/* test_work - the thread pool: results, parallelism, and the end of a loop with work under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "common/loop/loop.h"

enum { JOBS = 200 };

struct job {
    struct batch *batch;
    int in, out, result;
    unsigned done;
};

struct batch {
    struct loop *loop;
    struct job jobs[JOBS];
    unsigned reported;
    pthread_t loop_thread;
    pthread_barrier_t barrier;
    int gate[2]; /* a worker waits until this pipe is closed */
};

static void batch_init(struct batch *b)
{
    memset(b, 0, sizeof(*b));
    assert_int_equal(loop_new(&b->loop), 0);
    b->loop_thread = pthread_self();
    for (unsigned i = 0; i < JOBS; i++)
        b->jobs[i] = (struct job){.batch = b, .in = (int) i};
}

static int job_square(void *arg)
{
    struct job *j = arg;

    assert_false(pthread_equal(pthread_self(), j->batch->loop_thread));
    j->out = j->in * j->in;
    return j->in % 2 ? -EIO : 0;
}

static void job_done(void *arg, int r)
{
    struct job *j = arg;

    assert_true(pthread_equal(pthread_self(), j->batch->loop_thread));
    j->result = r;
    j->done++;
    j->batch->reported++;
}

static void batch_wait(struct batch *b, unsigned count)
{
    while (b->reported < count)
        assert_int_equal(loop_turn(b->loop, 10000), 0);
}

static void every_job_is_done_and_reported_once_on_the_loop_thread(void **state)
{
    struct batch b;

    (void) state;
    batch_init(&b);
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(loop_work(b.loop, job_square, job_done, &b.jobs[i]), 0);
    batch_wait(&b, JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(b.jobs[i].out, i * i);
        assert_int_equal(b.jobs[i].result, i % 2 ? -EIO : 0);
        assert_int_equal(b.jobs[i].done, 1);
    }
    loop_free(b.loop);
}

static int job_meet(void *arg)
{
    pthread_barrier_wait(&((struct job *) arg)->batch->barrier);
    return 0;
}

static void as_many_jobs_run_at_once_as_there_are_threads(void **state)
{
    struct batch b;

    (void) state;
    batch_init(&b);
    loop_work_threads(b.loop, 3);
    pthread_barrier_init(&b.barrier, NULL, 3);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(loop_work(b.loop, job_meet, job_done, &b.jobs[i]), 0);
    batch_wait(&b, 6); /* would hang with fewer threads */
    pthread_barrier_destroy(&b.barrier);
    loop_free(b.loop);
}

static int job_wait_for_gate(void *arg)
{
    struct batch *b = ((struct job *) arg)->batch;
    char c;

    return read(b->gate[0], &c, 1) == 0 ? 7 : -EIO;
}

static void *open_gate(void *arg)
{
    usleep(300000);
    close(((struct batch *) arg)->gate[1]);
    return NULL;
}

static void loop_free_waits_for_running_work_and_cancels_the_rest(void **state)
{
    struct batch b;
    pthread_t opener;

    (void) state;
    batch_init(&b);
    loop_work_threads(b.loop, 1);
    assert_int_equal(pipe(b.gate), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(loop_work(b.loop, job_wait_for_gate, job_done, &b.jobs[i]), 0);
    usleep(30000); /* so that the first one runs; the outcome below is legal without it too */
    assert_int_equal(pthread_create(&opener, NULL, open_gate, &b), 0);
    loop_free(b.loop);
    pthread_join(opener, NULL);
    close(b.gate[0]);
    assert_int_equal(b.reported, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(b.jobs[i].done, 1);
        assert_true(b.jobs[i].result == -ECANCELED || b.jobs[i].result == 7);
    }
    assert_int_equal(b.jobs[3].result, -ECANCELED);
}

static int job_signals_blocked(void *arg)
{
    sigset_t set;

    (void) arg;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    return sigismember(&set, SIGTERM) && sigismember(&set, SIGCHLD);
}

static void workers_take_no_signals(void **state)
{
    struct batch b;

    (void) state;
    batch_init(&b);
    assert_int_equal(loop_work(b.loop, job_signals_blocked, job_done, &b.jobs[0]), 0);
    batch_wait(&b, 1);
    assert_int_equal(b.jobs[0].result, 1);
    loop_free(b.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_is_done_and_reported_once_on_the_loop_thread),
        cmocka_unit_test(as_many_jobs_run_at_once_as_there_are_threads),
        cmocka_unit_test(loop_free_waits_for_running_work_and_cancels_the_rest),
        cmocka_unit_test(workers_take_no_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
