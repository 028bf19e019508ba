/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_agent_procs - a gateway that sends anything over a link, with processes that are only pipes: spawn and signals are stand-ins.
 * The input is what comes after the upgrade; what processes print is the input again.
 */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "agent/init/reaper.h"
#include "agent/procs/link.h"
#include "agent/procs/procs.h"
#include "agent/procs/session.h"
#include "agent/procs/spawn.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/loop/loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PRINT_MAX = 4096, TURNS = 24 };

static const uint8_t *print_data;
static size_t print_len;
static struct links *links;

/* ---- stand-ins ---- */

static void pipe_pair(int *ours, int *theirs, bool we_read)
{
    int p[2];

    assert(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
    *ours = p[we_read ? 0 : 1];
    *theirs = p[we_read ? 1 : 0];
}

int spawn(struct spawned *out, const struct spawn_conf *c, struct err *e)
{
    static pid_t next = 1 << 28;
    int other;

    (void) e;
    *out = (struct spawned){.pid = next++, .status_fd = -1, .in_fd = -1, .out_fd = -1, .err_fd = -1};
    pipe_pair(&out->status_fd, &other, true);
    if (c->arg_count % 3 == 2) { /* one that cannot start */
        const struct spawn_status s = {.stage = SPAWN_EXEC, .error = 2};

        assert(write(other, &s, sizeof(s)) == sizeof(s));
    }
    close(other);
    pipe_pair(&out->out_fd, &other, true);
    assert(write(other, print_data, print_len) == (ssize_t) print_len);
    close(other);
    if (c->stdin_open || c->pty) {
        pipe_pair(&out->in_fd, &other, false);
        close(other);
    }
    return 0;
}

const char *spawn_error_code(const struct spawn_status *s)
{
    (void) s;
    return "command_not_found";
}

void spawn_error_text(const struct spawn_status *s, const struct spawn_conf *c, char *out, size_t size)
{
    (void) s;
    snprintf(out, size, "no '%.32s'", c->cmd);
}

void session_kill(pid_t pid, int signo, bool group)
{
    (void) pid;
    (void) signo;
    (void) group;
}

int signal_number(const char *text)
{
    (void) text;
    return 0;
}

/* ---- the target ---- */

static void on_request(void *arg, struct http_req *r)
{
    (void) arg;
    links_accept(links, r);
}

static void turn(struct loop *l, int fd)
{
    char drop[65536];

    for (int i = 0; i < TURNS; i++) {
        int r = loop_turn(l, 0);

        assert(r == 0);
        while (recv(fd, drop, sizeof(drop), MSG_DONTWAIT) > 0)
            ;
    }
}

static void end_processes(struct procs *t)
{
    LIST_FOR_EACH_SAFE(n, tmp, &t->all) {
        struct proc *p = LIST_ENTRY(n, struct proc, node);

        if (!p->exited && p->state == PROC_RUNNING)
            proc_on_exit(p, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char upgrade[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: bivouac-link/1\r\n\r\n";
    const struct json_map env = {0};
    const struct http_server_conf conf = {.name = "fuzz"};
    struct loop *l;
    struct reaper *reaper;
    struct procs *procs;
    struct http_server *server;
    int sv[2];

    log_init("fuzz", -1, LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    print_data = data;
    print_len = size < PRINT_MAX ? size : PRINT_MAX;
    assert(loop_new(&l) == 0 && reaper_new(&reaper, l) == 0);
    const struct procs_conf pc = {.loop = l, .reaper = reaper, .cgroup_fd = -1, .budget_bytes = 1 << 20, .env = &env, .workspace = "/"};

    assert(procs_new(&procs, &pc) == 0 && links_new(&links, l, procs) == 0);
    assert(http_server_new(&server, l, &conf, on_request, NULL) == 0);
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
    http_server_adopt(server, sv[0]);
    assert(write(sv[1], upgrade, sizeof(upgrade) - 1) > 0);
    turn(l, sv[1]);
    while (size) {
        ssize_t n = send(sv[1], data, size, MSG_NOSIGNAL);

        if (n > 0) {
            data += n;
            size -= (size_t) n;
        }
        turn(l, sv[1]);
        if (n < 0 && links_count(links) == 0)
            break;
    }
    end_processes(procs);
    turn(l, sv[1]);
    http_server_free(server);
    links_free(links);
    procs_free(procs);
    reaper_free(reaper);
    loop_free(l);
    close(sv[1]);
    return 0;
}
