/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bivouac-agent - as PID 1 it boots the guest and serves it; with --foreground it is an ordinary program for tests and measurements:
 * no mounts, no groups, no identity.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "agent/agent.h"
#include "agent/api.h"
#include "agent/boot/boot.h"
#include "agent/files/pool.h"
#include "agent/init/cgroup.h"
#include "agent/init/power.h"
#include "agent/init/quiesce.h"
#include "agent/init/reaper.h"
#include "agent/memory.h"
#include "agent/procs/env.h"
#include "agent/procs/link.h"
#include "agent/procs/procs.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/loop/loop.h"
#include "common/wire/agent_init.h"

enum { NOFILE = 524288 };

struct options {
    bool foreground;
    const char *listen, *token_file, *peer, *workspace;
};

static void usage(FILE *f)
{
    fputs("usage: bivouac-agent                      as PID 1 of a guest\n"
          "       bivouac-agent --foreground --listen 127.0.0.1:PORT --token-file FILE [--peer ADDRESS] [--workspace DIR]\n"
          "Port 0 picks one; the address is printed. --peer: the only address that may connect (default 127.0.0.1).\n",
          f);
}

/* 0 = go on, else the exit status + 1 */
static int options_parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"foreground", no_argument, NULL, 'f'},      {"no-boot", no_argument, NULL, 'f'},
        {"listen", required_argument, NULL, 'l'},    {"token-file", required_argument, NULL, 't'},
        {"peer", required_argument, NULL, 'p'},      {"workspace", required_argument, NULL, 'w'},
        {"version", no_argument, NULL, 'v'},         {"help", no_argument, NULL, 'h'},
        {0},
    };
    int c;

    *o = (struct options){.peer = "127.0.0.1", .workspace = AGENT_WORKSPACE};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'f': o->foreground = true; break;
        case 'l': o->listen = optarg; break;
        case 't': o->token_file = optarg; break;
        case 'p': o->peer = optarg; break;
        case 'w': o->workspace = optarg; break;
        case 'v': puts("bivouac-agent " BIVOUAC_VERSION); return 1;
        case 'h': usage(stdout); return 1;
        default: usage(stderr); return 3;
        }
    }
    if (!o->foreground || !o->listen || !o->token_file || optind < argc) {
        usage(stderr);
        return 3;
    }
    return 0;
}

/* ---- the process itself ---- */

static void process_setup(void)
{
    struct rlimit core = {0, 0}, files;

    for (int fd = 0; fd < 3; fd++) { /* children put their own there */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) /* tidy: allow cloexec - 0 to 2 are inherited */
            (void) open("/", O_RDONLY | O_DIRECTORY);                /* tidy: allow cloexec - an initramfs without /dev */
    }
#ifndef __SANITIZE_ADDRESS__ /* its leak check traces the process */
    (void) prctl(PR_SET_DUMPABLE, 0);
#endif
    (void) setrlimit(RLIMIT_CORE, &core);
    files = (struct rlimit){NOFILE, NOFILE};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &files);
    }
    (void) signal(SIGPIPE, SIG_IGN);
}

/* File helpers are forked from this process: they must not hold its secrets. */
static void agent_in_child(void *arg)
{
    struct agent *a = arg;

    secret_deinit(&a->token);
    secret_deinit(&a->previous);
    env_map_wipe(&a->env);
}

static int agent_open(struct agent *a, const char *listen, const char *workspace, struct err *e)
{
    struct procs_conf procs = {.budget_bytes = memory_frames_budget(), .env = &a->env, .workspace = workspace};
    struct file_pool_conf files = {.workspace = workspace, .in_child = agent_in_child, .arg = a};
    int r = loop_new(&a->loop);

    r = r < 0 ? r : reaper_new(&a->reaper, a->loop);
    r = r < 0 ? r : power_new(&a->power, a);
    procs.loop = a->loop;
    procs.reaper = a->reaper;
    procs.cgroup_fd = cgroup_user_fd();
    r = r < 0 ? r : procs_new(&a->procs, &procs);
    r = r < 0 ? r : links_new(&a->links, a->loop, a->procs);
    files.loop = a->loop;
    files.reaper = a->reaper;
    r = r < 0 ? r : file_pool_new(&a->files, &files);
    if (r < 0)
        return err_set(e, r, "set the agent up: %s", strerror(-r));
    a->quiesce = quiesce_new(a);
    return api_open(a, listen, e);
}

static void agent_close(struct agent *a)
{
    api_close(a); /* ends what is under way below */
    quiesce_free(a->quiesce);
    links_free(a->links);
    file_pool_free(a->files);
    procs_free(a->procs);
    power_free(a->power);
    reaper_free(a->reaper);
    loop_free(a->loop);
    secret_deinit(&a->token);
    secret_deinit(&a->previous);
    env_map_wipe(&a->env);
    free(a->sandbox_id);
}

static int run_foreground(const struct options *o)
{
    struct agent a = {.peer = strcmp(o->peer, "any") == 0 ? NULL : o->peer};
    struct err e = ERR_INIT;
    int r;

    log_init("bivouac-agent", 2, LOG_INFO);
    r = secret_load(&a.token, o->token_file, &e);
    r = r < 0 ? r : agent_open(&a, o->listen, o->workspace, &e);
    if (r < 0) {
        fprintf(stderr, "bivouac-agent: %s\n", err_text(&e, r));
    } else {
        printf("listening on port %u\n", api_port(&a));
        fflush(stdout);
        r = loop_run(a.loop);
    }
    if (a.loop)
        agent_close(&a);
    return r < 0 ? 1 : 0;
}

no_return static void run_machine(void)
{
    static struct agent a = {.machine = true, .peer = AGENT_HOST_ADDR};
    struct err e = ERR_INIT;
    char listen[64];
    int r = boot_run(&a.token, &e);

    if (r == 0) {
        if (!a.token.len)
            log_error(NULL, "no boot token on the kernel command line (bivouac.boot=64 hex digits): nobody can talk to this machine");
        snprintf(listen, sizeof(listen), AGENT_GUEST_ADDR ":%d", AGENT_PORT);
        r = agent_open(&a, listen, AGENT_WORKSPACE, &e);
    }
    if (r == 0) {
        file_pool_warm(a.files, "user"); /* is in the template's memory then */
        log_info(NULL, "agent ready", "version", BIVOUAC_VERSION, "listen", listen);
        r = loop_run(a.loop);
        e = (struct err){0};
    }
    log_error(NULL, "the machine cannot run, powering off", "reason", err_text(&e, r));
    power_fail();
}

int main(int argc, char **argv)
{
    struct options o;
    int r;

    process_setup();
    if (getpid() == 1)
        run_machine();
    r = options_parse(&o, argc, argv);
    return r ? r - 1 : run_foreground(&o);
}
