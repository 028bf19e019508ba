/* SPDX-License-Identifier: Apache-2.0 */
/* helper - see helper.h */
#include "dataplane/vmhost/priv/helper.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/net/net.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { HELPER_FDS_MAX = 4, HELPER_TEXT_MAX = 400 };

struct helper_pipe {
    int sock; /* owned by the helper process */
};

int helper_send_fds(struct helper_pipe *out, const int *fds, size_t nfds, struct err *e)
{
    int r = net_send_fds(out->sock, "F", 1, fds, nfds);

    return r < 0 ? err_set(e, r, "hand over descriptors: %s", strerror(-r)) : 0;
}

static no_return void helper_main(helper_fn *fn, void *arg, int sock, int text_fd)
{
    struct helper_pipe out = {.sock = sock};
    struct err e = ERR_INIT;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(text_fd, STDERR_FILENO) < 0 || dup2(text_fd, STDOUT_FILENO) < 0)
        _exit(125);
    if (fn(arg, &out, &e) < 0) {
        (void) !write(STDERR_FILENO, e.text, strlen(e.text)); /* the exit code tells that it failed */
        _exit(1);
    }
    _exit(0);
}

struct helper_watch {
    int sock, text; /* owned */
    int fds[HELPER_FDS_MAX];
    size_t nfds;
    char said[HELPER_TEXT_MAX];
    size_t said_len;
};

static void helper_read_text(struct helper_watch *w)
{
    char part[512];
    ssize_t n = read(w->text, part, sizeof(part));

    if (n <= 0) {
        if (n < 0 && errno == EINTR)
            return;
        fd_closep(&w->text);
        return;
    }
    for (ssize_t i = 0; i < n && w->said_len < sizeof(w->said) - 1; i++)
        w->said[w->said_len++] = part[i] == '\n' ? ' ' : part[i];
    w->said[w->said_len] = '\0';
}

static void helper_read_fds(struct helper_watch *w)
{
    char byte;
    size_t n = HELPER_FDS_MAX - w->nfds;
    ssize_t r = net_recv_fds(w->sock, &byte, 1, w->fds + w->nfds, &n);

    if (r <= 0) {
        if (r == -EINTR || r == -EAGAIN)
            return;
        fd_closep(&w->sock);
        return;
    }
    w->nfds += n;
}

/* Until both ends were closed by the helper (or what it became), or the deadline. */
static int helper_watch(struct helper_watch *w, uint32_t deadline_ms)
{
    uint64_t end = clock_mono_ms() + deadline_ms;

    while (w->sock >= 0 || w->text >= 0) {
        struct pollfd p[2] = {{.fd = w->sock, .events = POLLIN}, {.fd = w->text, .events = POLLIN}};
        uint64_t now = clock_mono_ms();
        int n;

        if (now >= end)
            return -ETIMEDOUT;
        n = poll(p, 2, (int) (end - now));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            continue;
        if (p[0].revents)
            helper_read_fds(w);
        if (p[1].revents)
            helper_read_text(w);
    }
    return 0;
}

static int helper_outcome(pid_t pid, int r, size_t nfds, struct helper_watch *w, struct err *e)
{
    int status = 0;

    if (r < 0)
        kill(pid, SIGKILL); /* not reaped yet, hence still ours */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return err_set(e, r, "helper: %s", strerror(-r));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(e, -EIO, "%s", w->said_len ? w->said : "the helper process failed without a word");
    if (w->nfds != nfds)
        return err_set(e, -EIO, "helper gave %zu descriptors instead of %zu", w->nfds, nfds);
    return 0;
}

int helper_run(helper_fn *fn, void *arg, uint32_t deadline_ms, int *fds, size_t nfds, struct err *e)
{
    int sock[2], text[2];
    struct helper_watch w = {.fds = {-1, -1, -1, -1}};
    pid_t pid;
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
        return err_errno(e, "make a socket pair");
    if (pipe2(text, O_CLOEXEC) < 0) {
        r = err_errno(e, "make a pipe");
        close(sock[0]);
        close(sock[1]);
        return r;
    }
    pid = fork();
    if (pid == 0)
        helper_main(fn, arg, sock[1], text[1]);
    r = pid < 0 ? -errno : 0;
    close(sock[1]);
    close(text[1]);
    w.sock = sock[0];
    w.text = text[0];
    if (r == 0)
        r = helper_outcome(pid, helper_watch(&w, deadline_ms), nfds, &w, e);
    else
        err_set(e, r, "start a helper process: %s", strerror(-r));
    fd_closep(&w.sock);
    fd_closep(&w.text);
    for (size_t i = 0; i < w.nfds; i++) {
        if (r < 0 || i >= nfds)
            fd_closep(&w.fds[i]);
        else
            fds[i] = w.fds[i];
    }
    return r;
}
