/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener - listening sockets. A turn accepts a bounded number of connections, so that a flood does not starve the rest of the loop.
 * Out of descriptors or memory: accepting rests for 100 ms (a level-triggered loop would spin), then goes on by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/loop/loop.h"
#include "common/net/net_internal.h"

enum { ACCEPTS_PER_TURN = 64, EXHAUSTED_MS = 100, TEMP_SUFFIX_LEN = 8 };

struct listener {
    struct loop *loop;
    int fd; /* owned; -1 = closed */
    struct io *io;
    struct timer *rest; /* pending while descriptors are exhausted */
    accept_fn *fn;
    void *arg;
    bool paused; /* by the owner */
    uint16_t port;
    char *path;   /* unix: owned */
    dev_t dev;    /* unix: the socket file that is ours */
    ino_t ino;
};

static void listener_update(struct listener *s)
{
    io_want(s->io, s->paused || timer_pending(s->rest) ? 0 : IO_READ);
}

static void listener_on_rested(void *arg)
{
    listener_update(arg);
}

/* What accept() says about one connection or the network, not about the listener (accept(2)). */
static bool accept_error_is_transient(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* firewall */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static void listener_on_ready(void *arg, unsigned events)
{
    struct listener *s = arg;

    (void) events;
    for (int i = 0; i < ACCEPTS_PER_TURN && s->fd >= 0 && !s->paused; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof(peer);
        int fd = accept4(s->fd, (struct sockaddr *) &peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            s->fn(s->arg, fd, (struct sockaddr *) &peer, len);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (accept_error_is_transient(errno))
            continue;
        timer_set(s->rest, EXHAUSTED_MS); /* EMFILE, ENFILE, ENOBUFS, ENOMEM */
        listener_update(s);
        return;
    }
}

static int listener_start(struct listener **out, struct loop *l, int *fd, accept_fn *fn, void *arg)
{
    struct listener *s = xnew(struct listener);
    int r;

    s->loop = l;
    s->fn = fn;
    s->arg = arg;
    r = io_open(&s->io, l, *fd, listener_on_ready, s);
    if (r < 0) {
        free(s);
        return r;
    }
    s->fd = take_fd(fd);
    s->rest = timer_new(l, listener_on_rested, s);
    listener_update(s);
    *out = s;
    return 0;
}

static int tcp_prepare(int fd, int family, bool reuseport)
{
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
        return -errno;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
        return -errno;
    /* Accepted sockets inherit it. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return -errno;
    return 0;
}

static const char *listen_hint(int error)
{
    switch (error) {
    case EADDRINUSE:
        return " (another process has this port: see `ss -ltnp`, stop it or configure another port)";
    case EACCES:
        return " (ports below 1024 need CAP_NET_BIND_SERVICE; configure a higher port)";
    case EADDRNOTAVAIL:
        return " (no interface of this machine has this address)";
    default:
        return "";
    }
}

int listener_open_tcp(struct listener **out, struct loop *l, const char *host, uint16_t port, bool reuseport,
                      accept_fn *fn, void *arg, struct err *e)
{
    cleanup(fd_closep) int fd = -1;
    struct net_addr addr;
    struct sockaddr_in6 bound;
    socklen_t len = sizeof(bound);
    int r;

    if (net_addr_make(&addr, host, port) < 0)
        return err_set(e, -EINVAL, "listen: '%s' is not an IP address", host);
    fd = socket(addr.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, "listen on %s port %u: socket", host, port);
    r = tcp_prepare(fd, addr.sa.ss_family, reuseport);
    if (r < 0)
        return err_set(e, r, "listen on %s port %u: %s", host, port, strerror(-r));
    if (bind(fd, (struct sockaddr *) &addr.sa, addr.len) < 0 || listen(fd, SOMAXCONN) < 0) {
        r = -errno;
        return err_set(e, r, "listen on %s port %u: %s%s", host, port, strerror(-r), listen_hint(-r));
    }
    if (getsockname(fd, (struct sockaddr *) &bound, &len) < 0)
        return err_errno(e, "listen on %s port %u: getsockname", host, port);
    r = listener_start(out, l, &fd, fn, arg);
    if (r < 0)
        return err_set(e, r, "listen on %s port %u: %s", host, port, strerror(-r));
    (*out)->port = ntohs(bound.sin6_port); /* the same place in sockaddr_in */
    return 0;
}

/* Binds under a temporary name and renames it into place: never a moment without a socket, or with the wrong mode. */
static int unix_bind(int fd, const char *path, mode_t mode, struct err *e)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char suffix[TEMP_SUFFIX_LEN + 1];
    struct stat st;
    int r;

    if (strlen(path) + 1 + TEMP_SUFFIX_LEN >= sizeof(sa.sun_path))
        return err_set(e, -ENAMETOOLONG, "listen on %s: the path is longer than a unix socket may have", path);
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return err_set(e, -EEXIST, "listen on %s: this file exists and is not a socket", path);
    id_random(suffix, TEMP_SUFFIX_LEN);
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s.%s", path, suffix);
    if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
        return err_errno(e, "listen on %s", path);
    if (chmod(sa.sun_path, mode) == 0 && listen(fd, SOMAXCONN) == 0 && rename(sa.sun_path, path) == 0)
        return 0;
    r = err_errno(e, "listen on %s", path);
    unlink(sa.sun_path);
    return r;
}

int listener_open_unix(struct listener **out, struct loop *l, const char *path, int type, mode_t mode,
                       accept_fn *fn, void *arg, struct err *e)
{
    cleanup(fd_closep) int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat st;
    int r;

    if (fd < 0)
        return err_errno(e, "listen on %s: socket", path);
    r = unix_bind(fd, path, mode, e);
    if (r < 0)
        return r;
    if (lstat(path, &st) < 0)
        return err_errno(e, "listen on %s", path);
    r = listener_start(out, l, &fd, fn, arg);
    if (r < 0) {
        unlink(path);
        return err_set(e, r, "listen on %s: %s", path, strerror(-r));
    }
    (*out)->path = xstrdup(path);
    (*out)->dev = st.st_dev;
    (*out)->ino = st.st_ino;
    return 0;
}

uint16_t listener_port(const struct listener *s)
{
    return s->port;
}

void listener_pause(struct listener *s, bool paused)
{
    s->paused = paused;
    if (s->fd >= 0)
        listener_update(s);
}

void listener_close(struct listener *s)
{
    struct stat st;

    if (!s || s->fd < 0)
        return;
    io_close(s->io);
    timer_free(s->rest);
    close(take_fd(&s->fd));
    /* A successor may have put its own socket there. */
    if (s->path && lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        unlink(s->path);
    free(s->path);
    loop_reap(s->loop, s, free);
}
