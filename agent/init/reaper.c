/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/init/reaper.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"

enum { REAP_A_TURN = 512 }; /* then the loop gets its turn: orphans may come in thousands */

struct reaper {
    struct loop *loop; /* borrowed */
    struct map *watched; /* pid -> struct reaper_watch */
    struct defer again;
};

struct reaper_watch {
    reaper_fn *fn;
    void *arg;
};

static void reaper_collect(void *arg)
{
    struct reaper *r = arg;

    for (unsigned i = 0; i < REAP_A_TURN; i++) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);

        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return;
        struct reaper_watch *w = map_del_n(r->watched, &pid, sizeof(pid));

        if (!w)
            continue;
        struct reaper_watch copy = *w;

        free(w);
        copy.fn(copy.arg, status);
    }
    loop_defer(r->loop, &r->again, reaper_collect, r);
}

static void reaper_on_signal(void *arg, int signo)
{
    (void) signo;
    reaper_collect(arg);
}

int reaper_new(struct reaper **out, struct loop *l)
{
    struct reaper *r = xnew(struct reaper);
    int n;

    r->loop = l;
    r->watched = map_new();
    n = loop_signal(l, SIGCHLD, reaper_on_signal, r);
    if (n < 0) {
        map_free(r->watched);
        free(r);
        return n;
    }
    *out = r;
    return 0;
}

void reaper_watch(struct reaper *r, pid_t pid, reaper_fn *fn, void *arg)
{
    struct reaper_watch *w = xnew(struct reaper_watch);

    *w = (struct reaper_watch){fn, arg};
    free(map_put_n(r->watched, &pid, sizeof(pid), w));
}

void reaper_forget(struct reaper *r, pid_t pid)
{
    free(map_del_n(r->watched, &pid, sizeof(pid)));
}

void reaper_free(struct reaper *r)
{
    struct map_iter it = MAP_ITER_INIT;
    void *w;

    if (!r)
        return;
    defer_cancel(&r->again);
    while ((w = map_next(r->watched, &it, NULL)))
        free(w);
    map_free(r->watched);
    free(r);
}
