/* SPDX-License-Identifier: Apache-2.0 */
/* child - see child.h */
#include "dataplane/vmhost/child.h"
#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "dataplane/vmhost/api/heartbeat.h"
#include "dataplane/vmhost/api/host_api.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/gate/gate.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/priv/priv.h"
#include "dataplane/vmhost/selftest.h"
#include "dataplane/vmhost/template/accel.h"
#include "dataplane/vmhost/template/template.h"
#include "dataplane/vmhost/vm/disk_watch.h"
#include "dataplane/vmhost/vm/pool.h"
#include "dataplane/vmhost/vm/vms.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VERSION_MS = 10000, PROBE_AGAIN_MS = 10000, RESERVE_MS = 60000 };

struct child {
    struct host host;
    struct arena *arena;        /* owned: settings */
    struct conf conf;
    bool is_selftest;
    unsigned selftest_count;
    struct host_api *api;       /* owned */
    struct heartbeat *heartbeat; /* owned */
    struct accel_probe *probe;  /* owned */
    struct selftest *selftest;  /* owned */
    struct timer *probe_again;  /* owned */
    struct timer *reserve;      /* owned */
    bool open;                  /* host API and heartbeats, or the selftest */
    bool stopping, told_no_image;
    int code;
};

static void child_stop(struct child *c, int code)
{
    c->stopping = true;
    c->code = code;
    loop_stop(c->host.loop);
}

static int child_fatal(struct child *c, int r, const struct err *e)
{
    log_error(NULL, "cannot go on", "error", err_text(e, r));
    child_stop(c, 1);
    return r;
}

/* ---- QEMU's version ---- */

static int child_read_version(int fd, char *out, size_t size)
{
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, VERSION_MS) <= 0)
            return -ETIMEDOUT;
        n = read(fd, out + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t) n;
    }
    out[len] = '\0';
    return 0;
}

static int child_find_version(struct child *c, struct err *e)
{
    char *const argv[] = {(char *) c->conf.qemu, (char *) "--version", NULL};
    char *const envp[] = {NULL};
    char text[256] = "";
    posix_spawn_file_actions_t actions;
    int fds[2], r;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, "make a pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    r = posix_spawn(&pid, c->conf.qemu, &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    if (r != 0) {
        close(fds[0]);
        return err_set(e, -r, "start '%s' (install qemu-system-x86): %s", c->conf.qemu, strerror(r));
    }
    r = child_read_version(fds[0], text, sizeof(text));
    close(fds[0]);
    if (r < 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (r == 0)
        r = fingerprint_qemu_version(text, c->host.qemu_version, sizeof(c->host.qemu_version), c->host.qemu_series,
                                     sizeof(c->host.qemu_series));
    if (r < 0)
        return err_set(e, r, "'%s --version' does not tell a version", c->conf.qemu);
    if (!str_eq(c->host.qemu_series, "7.2"))
        log_warn(NULL, "this series of QEMU has not been tested with this service; run the selftest", "version", c->host.qemu_version);
    return 0;
}

/* ---- the start, step by step ---- */

static void child_on_selftest(void *arg, int code)
{
    child_stop(arg, code);
}

static void child_on_vms_changed(void *arg)
{
    struct child *c = arg;

    heartbeat_now(c->heartbeat);
}

static void child_on_accel(void *arg, int r, const struct err *e);

static void child_find_accel(void *arg)
{
    struct child *c = arg;
    struct err e = ERR_INIT;
    int r = accel_find(&c->probe, &c->host, child_on_accel, c);

    if (r < 0)
        child_fatal(c, err_set(&e, r, "probe: %s", strerror(-r)), &e);
}

/* After the first look at accelerator and images: until then a create would find no template. */
static void child_open_doors(struct child *c)
{
    struct err e = ERR_INIT;
    int r;

    if (c->open)
        return;
    c->open = true;
    if (c->is_selftest) {
        c->selftest = selftest_start(&c->host, c->selftest_count, child_on_selftest, c);
        return;
    }
    r = host_api_open(&c->api, &c->host, &e);
    if (r == 0)
        r = heartbeat_open(&c->heartbeat, &c->host, &e);
    if (r < 0) {
        child_fatal(c, r, &e);
        return;
    }
    log_info(NULL, "ready", "host", c->host.name, "host_api", c->conf.listen, "gate", c->conf.gate_socket);
}

static void child_on_accel(void *arg, int r, const struct err *e)
{
    struct child *c = arg;

    c->probe = NULL;
    if (r == 0) {
        templates_start(c->host.templates);
        child_open_doors(c);
        heartbeat_now(c->heartbeat);
        return;
    }
    if (str_eq(c->conf.accelerator, "kvm") && r != -ENOENT) {
        child_fatal(c, r, e);
        return;
    }
    if (!c->told_no_image)
        log_error(NULL, "no accelerator yet, trying again every few seconds", "reason", err_text(e, r));
    c->told_no_image = true;
    if (c->is_selftest) {
        child_stop(c, 1);
        return;
    }
    child_open_doors(c);
    timer_set(c->probe_again, PROBE_AGAIN_MS);
}

static void child_on_adopted(void *arg, int r)
{
    struct child *c = arg;
    struct err e = ERR_INIT;

    if (r < 0) {
        child_fatal(c, err_set(&e, r, "adopt virtual machines: %s", strerror(-r)), &e);
        return;
    }
    r = c->is_selftest ? 0 : gate_open(&c->host.gate, &c->host, &e); /* machines that run get their routes at once */
    if (r < 0) {
        child_fatal(c, r, &e);
        return;
    }
    pool_open(c->host.pool);
    child_find_accel(c);
    timer_set(c->reserve, 0);
}

static void child_on_loaded(void *arg, int r)
{
    struct child *c = arg;
    struct err e = ERR_INIT;

    if (r < 0) {
        child_fatal(c, err_set(&e, r, "read the store: %s", strerror(-r)), &e);
        return;
    }
    r = vms_adopt(c->host.vms, child_on_adopted, c, &e);
    if (r < 0)
        child_fatal(c, r, &e);
}

static void child_on_reserve(void *arg)
{
    struct child *c = arg;

    disk_watch_make_reserve(&c->host);
    timer_set(c->reserve, RESERVE_MS);
}

static void child_on_priv_gone(void *arg)
{
    struct child *c = arg;

    if (c->stopping)
        return;
    log_error(NULL, "the parent has gone, ending; virtual machines go on");
    child_stop(c, 1);
}

static void child_on_signal(void *arg, int signo)
{
    (void) signo;
    log_info(NULL, "stopping; virtual machines go on");
    child_stop(arg, 0);
}

static int child_open(struct child *c, struct err *e)
{
    struct host *h = &c->host;
    int r = loop_new(&h->loop);

    if (r < 0)
        return err_set(e, r, "event loop: %s", strerror(-r));
    if (loop_signal(h->loop, SIGTERM, child_on_signal, c) < 0 || loop_signal(h->loop, SIGINT, child_on_signal, c) < 0)
        return err_set(e, -EIO, "signals");
    r = priv_open(&h->priv, h->loop, CHILD_FD_PRIV, child_on_priv_gone, c);
    if (r < 0)
        return err_set(e, r, "socket to the parent: %s", strerror(-r));
    r = child_find_version(c, e);
    if (r == 0)
        r = pool_new(&h->pool, h);
    if (r == 0)
        r = templates_new(&h->templates, h);
    if (r == 0)
        r = vms_new(&h->vms, h);
    if (r < 0)
        return r;
    h->on_vms_changed = child_on_vms_changed;
    h->on_vms_changed_arg = c;
    c->probe_again = timer_new(h->loop, child_find_accel, c);
    c->reserve = timer_new(h->loop, child_on_reserve, c);
    r = templates_load(h->templates, child_on_loaded, c);
    return r < 0 ? err_set(e, r, "read the store: %s", strerror(-r)) : 0;
}

static void child_close(struct child *c)
{
    struct host *h = &c->host;

    c->stopping = true;
    selftest_free(c->selftest);
    heartbeat_close(c->heartbeat);
    c->heartbeat = NULL;
    host_api_close(c->api);
    gate_close(h->gate);
    h->gate = NULL;
    accel_drop(c->probe);
    vms_free(h->vms);
    templates_free(h->templates);
    pool_free(h->pool);
    priv_close(h->priv);
    timer_free(c->probe_again);
    timer_free(c->reserve);
    loop_free(h->loop);
    arena_free(c->arena);
}

static int child_load_conf(struct child *c, struct err *e)
{
    enum log_level level;
    char path[32];
    int r;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", CHILD_FD_CONFIG);
    c->arena = arena_new(0);
    r = config_load(&conf_table, path, c->arena, &c->conf, e);
    if (r == 0)
        r = conf_check(&c->conf, e);
    if (r == 0 && !c->is_selftest)
        r = conf_check_service(&c->conf, e);
    if (r < 0)
        return r;
    close(CHILD_FD_CONFIG);
    if (log_level_parse(c->conf.log_level, &level) < 0)
        return err_set(e, -EINVAL, "log_level: debug, info, warn or error");
    log_init("bivouac-vmhost", STDERR_FILENO, level);
    c->host.conf = &c->conf;
    if (str_empty(c->conf.host_name)) {
        if (gethostname(c->host.name, sizeof(c->host.name) - 1) < 0)
            return err_errno(e, "name of the machine");
    } else {
        (void) str_copy(c->host.name, sizeof(c->host.name), c->conf.host_name); /* the table limits it */
    }
    return 0;
}

int child_main(bool selftest, unsigned selftest_count)
{
    struct child c = {.is_selftest = selftest, .selftest_count = selftest_count, .code = 1};
    struct err e = ERR_INIT;
    int r;

    log_init("bivouac-vmhost", STDERR_FILENO, LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    if (fcntl(CHILD_FD_PRIV, F_SETFD, FD_CLOEXEC) < 0 || fcntl(CHILD_FD_CONFIG, F_SETFD, FD_CLOEXEC) < 0) {
        fprintf(stderr, "bivouac-vmhost: 'child' is started by the service itself only\n");
        return 2;
    }
    r = child_load_conf(&c, &e);
    if (r == 0)
        r = child_open(&c, &e);
    if (r == 0)
        r = loop_run(c.host.loop);
    if (r < 0)
        log_error(NULL, "cannot start", "error", err_text(&e, r));
    child_close(&c);
    return r < 0 ? 1 : c.code;
}
