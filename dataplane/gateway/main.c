/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bivouac-gateway - the data plane of one host. With several workers this process only watches them: they are forked before any loop
 * exists, and each opens the same addresses by itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "dataplane/gateway/app.h"
#include "dataplane/gateway/config.h"

enum { WORKERS_MAX = 64, RESPAWN_MS = 1000 };

struct worker {
    pid_t pid; /* 0: not running */
    uint64_t started_ms;
};

static int worker_run(const struct gateway_conf *conf, unsigned index)
{
    struct err e = ERR_INIT;
    struct app *a;
    int r = app_new(&a, conf, index, &e);

    if (r < 0) {
        log_error(NULL, "cannot start", "reason", err_text(&e, r));
        return 1;
    }
    r = app_run(a);
    app_free(a);
    log_info(NULL, "stopped");
    return r < 0 ? 1 : 0;
}

static void worker_spawn(struct worker *w, const struct gateway_conf *conf, unsigned index, const sigset_t *unblocked)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0) {
        log_error(NULL, "cannot fork a worker", "reason", strerror(errno));
        return;
    }
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, unblocked, NULL);
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
            _exit(1);
        exit(worker_run(conf, index));
    }
    w->pid = pid;
    w->started_ms = clock_mono_ms();
}

static void workers_signal(const struct worker *w, unsigned count, int signo)
{
    for (unsigned i = 0; i < count; i++) {
        if (w[i].pid > 0)
            kill(w[i].pid, signo);
    }
}

/* Notes who has ended; returns how many still run. */
static unsigned workers_reap(struct worker *w, unsigned count, bool stopping)
{
    unsigned running = 0;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            if (w[i].pid != pid)
                continue;
            w[i].pid = 0;
            if (!stopping)
                log_error(NULL, "worker ended, starting another one", "worker", LOG_U64(i), "status", LOG_I64(status));
        }
    }
    for (unsigned i = 0; i < count; i++)
        running += w[i].pid > 0;
    return running;
}

static void workers_start(struct worker *w, const struct gateway_conf *conf, const sigset_t *unblocked)
{
    uint64_t now = clock_mono_ms();

    for (unsigned i = 0; i < (unsigned) conf->workers; i++) {
        if (w[i].pid == 0 && (w[i].started_ms == 0 || now - w[i].started_ms >= RESPAWN_MS))
            worker_spawn(&w[i], conf, i, unblocked);
    }
}

static int supervise(const struct gateway_conf *conf)
{
    const struct timespec tick = {.tv_nsec = 200 * 1000 * 1000};
    struct worker workers[WORKERS_MAX] = {0};
    unsigned count = (unsigned) conf->workers;
    bool stopping = false;
    sigset_t watched, old;

    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGHUP);
    sigprocmask(SIG_BLOCK, &watched, &old);
    for (;;) {
        if (!stopping)
            workers_start(workers, conf, &old);
        int signo = sigtimedwait(&watched, NULL, &tick);

        if (signo == SIGHUP || signo == SIGTERM || signo == SIGINT)
            workers_signal(workers, count, signo);
        stopping = stopping || signo == SIGTERM || signo == SIGINT;
        if (workers_reap(workers, count, stopping) == 0 && stopping)
            return 0;
    }
}

/* As many descriptors as the system lets us have: each client and each agent is one. */
static void raise_descriptors(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &l); /* what we have then is enough for a start */
    }
}

int main(int argc, char **argv)
{
    struct arena *arena = arena_new(0);
    enum log_level level = LOG_INFO;
    struct gateway_conf conf;
    int r = config_main(&gateway_config, argc, argv, arena, &conf);

    if (r != 0) {
        arena_free(arena);
        return r < 0 ? 2 : 0;
    }
    if (log_level_parse(conf.log_level, &level) < 0) {
        fprintf(stderr, "bivouac-gateway: log_level: must be debug, info, warn or error\n");
        arena_free(arena);
        return 2;
    }
    if (strpbrk(conf.domain, "ABCDEFGHIJKLMNOPQRSTUVWXYZ /:") || conf.domain[0] == '.') {
        fprintf(stderr, "bivouac-gateway: domain: must be a host name in lower case, as in example.org\n");
        arena_free(arena);
        return 2;
    }
    log_init("bivouac-gateway", STDERR_FILENO, level);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    r = conf.workers > 1 ? supervise(&conf) : worker_run(&conf, 0);
    arena_free(arena);
    return r;
}
