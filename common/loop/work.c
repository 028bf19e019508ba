/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work - blocking calls on a few threads. A job goes through two lists: `queue` (waiting) and `done` (to be reported); both and the
 * counts are under `lock`. Workers wake the loop by an eventfd; everything else of the loop is the loop thread's alone.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/loop/loop_internal.h"

enum { WORK_THREADS_MAX = 64, WORK_STACK_BYTES = 1 << 20 };

struct work {
    struct list node;
    work_fn *fn;
    work_done_fn *done;
    void *arg;
    int result;
};

struct work_pool {
    struct loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list queue, done; /* struct work */
    bool ending;
    unsigned idle;           /* threads that wait on `wake` */
    unsigned queued;
    unsigned count;          /* threads; loop thread only */
    pthread_t threads[WORK_THREADS_MAX];
    int event_fd;
    struct io *io; /* owned */
};

static void *work_thread(void *arg)
{
    struct work_pool *p = arg;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct work *w;
        bool first;

        while (list_empty(&p->queue) && !p->ending) {
            p->idle++;
            pthread_cond_wait(&p->wake, &p->lock);
            p->idle--;
        }
        if (p->ending)
            break;
        w = LIST_ENTRY(p->queue.next, struct work, node);
        list_del(&w->node);
        p->queued--;
        pthread_mutex_unlock(&p->lock);
        w->result = w->fn(w->arg);
        pthread_mutex_lock(&p->lock);
        first = list_empty(&p->done);
        list_append(&p->done, &w->node);
        if (first && eventfd_write(p->event_fd, 1) < 0)
            assert(errno == EAGAIN); /* the counter is full: the loop is awake anyway */
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void work_on_done(void *arg, unsigned events)
{
    struct work_pool *p = arg;
    struct list finished;
    eventfd_t n;

    (void) events;
    if (eventfd_read(p->event_fd, &n) < 0)
        assert(errno == EAGAIN);
    list_init(&finished);
    pthread_mutex_lock(&p->lock);
    while (!list_empty(&p->done)) {
        struct list *node = p->done.next;

        list_del(node);
        list_append(&finished, node);
    }
    pthread_mutex_unlock(&p->lock);
    while (!list_empty(&finished)) {
        struct work *w = LIST_ENTRY(finished.next, struct work, node);

        list_del(&w->node);
        w->done(w->arg, w->result);
        free(w);
    }
}

static int work_pool_new(struct work_pool **out, struct loop *l)
{
    struct work_pool *p = xnew(struct work_pool);
    int r;

    p->loop = l;
    list_init(&p->queue);
    list_init(&p->done);
    p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); /* tidy: allow eventfd */
    if (p->event_fd < 0) {
        r = -errno;
        free(p);
        return r;
    }
    r = io_open(&p->io, l, p->event_fd, work_on_done, p);
    if (r < 0) {
        close(p->event_fd);
        free(p);
        return r;
    }
    io_want(p->io, IO_READ);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    *out = p;
    return 0;
}

/* Signals are the loop thread's: workers start with all of them blocked. */
static int work_thread_start(struct work_pool *p)
{
    sigset_t all, old;
    pthread_attr_t attr;
    int r;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORK_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&p->threads[p->count], &attr, work_thread, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (r == 0)
        p->count++;
    return -r;
}

void loop_work_threads(struct loop *l, unsigned threads)
{
    l->work_threads = threads < 1 ? 1 : threads > WORK_THREADS_MAX ? WORK_THREADS_MAX : threads;
}

int loop_work(struct loop *l, work_fn *fn, work_done_fn *done, void *arg)
{
    struct work_pool *p;
    struct work *w;
    bool more;
    int r;

    if (!l->pool) {
        r = work_pool_new(&l->pool, l);
        if (r < 0)
            return r;
    }
    p = l->pool;
    if (p->ending)
        return -ECANCELED;
    pthread_mutex_lock(&p->lock);
    more = p->queued >= p->idle && p->count < l->work_threads;
    pthread_mutex_unlock(&p->lock);
    if (more) {
        r = work_thread_start(p);
        if (r < 0 && p->count == 0)
            return r; /* with fewer threads than asked for, work goes on */
    }
    w = xnew(struct work);
    w->fn = fn;
    w->done = done;
    w->arg = arg;
    pthread_mutex_lock(&p->lock);
    list_append(&p->queue, &w->node);
    p->queued++;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

/* Running jobs are waited for, waiting ones end with -ECANCELED; every job is reported. */
void work_pool_free(struct work_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
    while (!list_empty(&p->queue)) {
        struct work *w = LIST_ENTRY(p->queue.next, struct work, node);

        list_del(&w->node);
        w->result = -ECANCELED;
        list_append(&p->done, &w->node);
    }
    work_on_done(p, IO_READ);
    io_close(p->io);
    close(p->event_fd);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
