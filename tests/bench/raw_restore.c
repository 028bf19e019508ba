/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-raw-restore - the floor that creates are measured against: the same template snapshot restored by the same QEMU command line,
 * without any daemon of ours, without cell and journal. Runs inside a network namespace that has the tap already.
 *
 * Each line on stdin does one restore; a JSON object with the milliseconds since its begin comes out:
 *   disk (overlay copied), exec (process started), greeting (QMP), loaded (state in), running (cont answered), answer (agent's first byte)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/wire/agent_init.h"

/* Where the command line expects its descriptors: they were taken from a QEMU that vmhost started (qemu_argv.h). */
enum { FD_QMP = 3, FD_TAP, FD_RAM, FD_STATE, FD_ROOTFS, FD_TEMPLATE, FD_DISK, FD_END };
enum { ARGS_MAX = 200, DEADLINE_MS = 20000, HIGH_FD = 100 };

struct paths {
    const char *argv_file, *program, *shim, *ram, *state, *rootfs, *template, *overlay, *work, *tap;
};

struct run {
    const struct paths *p;
    char *args[ARGS_MAX + 1];
    int fds[FD_END];
    int qmp;
    pid_t pid;
    uint64_t began_us;
    char reply[65536];
    size_t reply_len;
};

static no_return void fail(const char *what)
{
    fprintf(stderr, "bench-raw-restore: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Ends the machine with the measurement. */
static no_return void fail_run(const struct run *r, const char *what)
{
    if (r->pid > 0)
        kill(r->pid, SIGKILL);
    fail(what);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static double since_ms(const struct run *r)
{
    return (double) (now_us() - r->began_us) / 1000;
}

static void check_deadline(const struct run *r, const char *what)
{
    if (since_ms(r) > DEADLINE_MS) {
        errno = ETIMEDOUT;
        fail_run(r, what);
    }
}

/* ---- what QEMU is given ---- */

static void load_args(struct run *r)
{
    static char text[65536];
    int fd = open(r->p->argv_file, O_RDONLY | O_CLOEXEC), count = 0;
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (n <= 0)
        fail(r->p->argv_file);
    close(fd);
    for (char *p = text; p < text + n && count < ARGS_MAX; p += strlen(p) + 1)
        r->args[count++] = p;
    r->args[count] = NULL;
}

static int open_or_fail(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        fail(path);
    return fd;
}

static int open_tap(const char *name)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open_or_fail("/dev/net/tun", O_RDWR | O_NONBLOCK);

    snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &req) < 0)
        fail("tap");
    return fd;
}

static int copy_overlay(const struct run *r, const char *path)
{
    int from = open_or_fail(r->p->overlay, O_RDONLY), to;
    struct stat st;
    off_t at = 0;

    unlink(path);
    to = open_or_fail(path, O_RDWR | O_CREAT | O_EXCL);
    if (fstat(from, &st) < 0)
        fail("stat overlay");
    while (at < st.st_size) {
        if (sendfile(to, from, &at, (size_t) (st.st_size - at)) <= 0)
            fail("copy overlay");
    }
    close(from);
    return to;
}

static int listen_qmp(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 1) < 0)
        fail(path);
    return fd;
}

static void start_qemu(struct run *r)
{
    char preload[512], ram[32], arenas[] = "MALLOC_ARENA_MAX=2";
    char *env[] = {preload, ram, arenas, NULL};

    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", r->p->shim);
    snprintf(ram, sizeof(ram), "BIV_RAM_FD=%d", FD_RAM);
    r->pid = fork();
    if (r->pid < 0)
        fail("fork");
    if (r->pid == 0) {
        int high[FD_END];

        for (int i = FD_QMP; i < FD_END; i++)
            high[i] = fcntl(r->fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
        for (int i = FD_QMP; i < FD_END; i++)
            dup2(high[i], i);
        execve(r->p->program, r->args, env);
        _exit(127);
    }
    for (int i = FD_QMP; i < FD_END; i++)
        close(r->fds[i]); /* an image lock belongs to the open file: QEMU's copies hold it alone */
}

/* ---- QMP ---- */

static void qmp_connect(struct run *r, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    r->qmp = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->qmp < 0 || connect(r->qmp, (struct sockaddr *) &sa, sizeof(sa)) < 0)
        fail_run(r, "connect to QMP");
}

/* Reads lines until one holds `word`; events pass. */
static void qmp_wait(struct run *r, const char *word)
{
    for (;;) {
        char *end;

        while ((end = memchr(r->reply, '\n', r->reply_len))) {
            size_t len = (size_t) (end + 1 - r->reply);
            bool found;

            *end = '\0';
            found = strstr(r->reply, word) != NULL;
            if (strstr(r->reply, "\"error\"")) {
                fprintf(stderr, "bench-raw-restore: QMP: %s\n", r->reply);
                kill(r->pid, SIGKILL);
                exit(1);
            }
            if (found)
                return; /* the line stays, terminated: the caller looks at it and calls qmp_consume() */
            memmove(r->reply, end + 1, r->reply_len - len);
            r->reply_len -= len;
        }
        struct pollfd p = {.fd = r->qmp, .events = POLLIN};
        ssize_t n;

        check_deadline(r, "QMP");
        if (poll(&p, 1, 1000) <= 0)
            continue;
        n = read(r->qmp, r->reply + r->reply_len, sizeof(r->reply) - 1 - r->reply_len);
        if (n <= 0)
            fail_run(r, "QMP: QEMU has gone");
        r->reply_len += (size_t) n;
        r->reply[r->reply_len] = '\0';
    }
}

static void qmp_consume(struct run *r)
{
    size_t len = strlen(r->reply) + 1;

    memmove(r->reply, r->reply + len, r->reply_len - len);
    r->reply_len -= len;
}

static void qmp_call(struct run *r, const char *command)
{
    char text[200];
    int n = snprintf(text, sizeof(text), "{\"execute\":\"%s\"}\n", command);

    if (write(r->qmp, text, (size_t) n) != n)
        fail_run(r, "QMP: write");
    qmp_wait(r, "\"return\"");
}

/* Asks until the machine's status is `status`. */
static void qmp_until(struct run *r, const char *status)
{
    const struct timespec pause = {.tv_nsec = 500000};
    char word[64];

    snprintf(word, sizeof(word), "\"status\": \"%s\"", status);
    for (;;) {
        bool there;

        qmp_call(r, "query-status");
        there = strstr(r->reply, word) != NULL;
        qmp_consume(r);
        if (there)
            return;
        check_deadline(r, status);
        nanosleep(&pause, NULL);
    }
}

/* ---- the guest ---- */

static void ask_agent(struct run *r)
{
    static const char request[] = "GET /agent/v1/health HTTP/1.1\r\nHost: agent\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(AGENT_PORT)};
    struct pollfd p = {.events = POLLIN};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    char answer[64];

    inet_pton(AF_INET, AGENT_GUEST_ADDR, &to.sin_addr);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (fd < 0 || connect(fd, (struct sockaddr *) &to, sizeof(to)) < 0 || write(fd, request, sizeof(request) - 1) < 0)
        fail_run(r, "connect to the agent");
    p.fd = fd;
    if (poll(&p, 1, DEADLINE_MS) <= 0 || read(fd, answer, sizeof(answer)) <= 0)
        fail_run(r, "the agent's answer");
    close(fd);
}

static void restore_once(struct run *r)
{
    const struct paths *p = r->p;
    char disk[300], qmp[100];
    double t_disk, t_exec, t_greeting, t_loaded, t_running, t_answer;

    snprintf(disk, sizeof(disk), "%s/disk.qcow2", p->work);
    snprintf(qmp, sizeof(qmp), "%s/qmp", p->work);
    r->reply_len = 0;
    r->began_us = now_us();
    r->fds[FD_DISK] = copy_overlay(r, disk);
    t_disk = since_ms(r);
    r->fds[FD_QMP] = listen_qmp(qmp);
    r->fds[FD_TAP] = open_tap(p->tap);
    r->fds[FD_RAM] = open_or_fail(p->ram, O_RDONLY);
    r->fds[FD_STATE] = open_or_fail(p->state, O_RDONLY);
    r->fds[FD_ROOTFS] = open_or_fail(p->rootfs, O_RDONLY);
    r->fds[FD_TEMPLATE] = open_or_fail(p->template, O_RDONLY);
    start_qemu(r);
    t_exec = since_ms(r);
    qmp_connect(r, qmp);
    qmp_wait(r, "\"QMP\"");
    qmp_consume(r);
    t_greeting = since_ms(r);
    qmp_call(r, "qmp_capabilities");
    qmp_consume(r);
    qmp_until(r, "paused");
    t_loaded = since_ms(r);
    qmp_call(r, "cont");
    qmp_consume(r);
    qmp_until(r, "running");
    t_running = since_ms(r);
    ask_agent(r);
    t_answer = since_ms(r);
    printf("{\"disk\":%.3f,\"exec\":%.3f,\"greeting\":%.3f,\"loaded\":%.3f,\"running\":%.3f,\"answer\":%.3f}\n", t_disk, t_exec,
           t_greeting, t_loaded, t_running, t_answer);
    fflush(stdout);
    close(r->qmp);
    kill(r->pid, SIGKILL);
    if (waitpid(r->pid, NULL, 0) < 0)
        fail_run(r, "wait for QEMU");
    unlink(disk);
    unlink(qmp);
}

static void parse(struct paths *p, int argc, char **argv)
{
    static const struct option longs[] = {
        {"argv", 1, NULL, 0}, {"program", 1, NULL, 1},  {"shim", 1, NULL, 2},    {"ram", 1, NULL, 3},  {"state", 1, NULL, 4}, {"rootfs", 1, NULL, 5},
        {"template", 1, NULL, 6}, {"overlay", 1, NULL, 7}, {"work", 1, NULL, 8}, {"tap", 1, NULL, 9}, {0},
    };
    const char **to[] = {&p->argv_file, &p->program, &p->shim, &p->ram, &p->state, &p->rootfs, &p->template, &p->overlay, &p->work, &p->tap};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == '?')
            exit(2);
        *to[c] = optarg;
    }
    for (size_t i = 0; i < ARRAY_LEN(to); i++) {
        if (!*to[i]) {
            fprintf(stderr, "bench-raw-restore: --%s is missing\n", longs[i].name);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct paths p = {0};
    static struct run r;
    char line[16];

    signal(SIGPIPE, SIG_IGN);
    parse(&p, argc, argv);
    r.p = &p;
    load_args(&r);
    while (fgets(line, sizeof(line), stdin))
        restore_once(&r);
    return 0;
}
