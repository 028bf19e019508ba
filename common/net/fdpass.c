/* SPDX-License-Identifier: Apache-2.0 */
/* fdpass - descriptors over unix sockets. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "common/base/attr.h"
#include "common/net/net.h"

enum { FDS_MAX = 16 };

union fd_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

int net_send_fds(int sock, const void *p, size_t len, const int *fds, size_t nfds)
{
    union fd_control control;
    struct iovec iov = {(void *) p, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (nfds > FDS_MAX || len == 0) /* an empty packet cannot be told from the end of file */
        return -EINVAL;
    if (nfds > 0) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
    }
    do {
        n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t) n == len ? 0 : -EMSGSIZE; /* only a byte stream cuts; its user has to give up the connection */
}

/* Adds the descriptors of one control message; those beyond the room are closed and counted as lost. */
static bool fds_take(const struct cmsghdr *c, int *fds, size_t room, size_t *count)
{
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    bool lost = false;

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
        if (*count < room) {
            fds[(*count)++] = fd;
        } else {
            close(fd);
            lost = true;
        }
    }
    return lost;
}

ssize_t net_recv_fds(int sock, void *p, size_t len, int *fds, size_t *nfds)
{
    union fd_control control;
    struct iovec iov = {p, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
    size_t room = nfds ? *nfds : 0, count = 0;
    bool lost = false;
    ssize_t n;

    do {
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            lost |= fds_take(c, fds, room, &count);
    }
    if (lost || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        if (nfds)
            *nfds = 0;
        return -EMSGSIZE;
    }
    if (nfds)
        *nfds = count;
    return n;
}

int net_peer_cred(int sock, pid_t *pid, uid_t *uid)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    if (len != sizeof(cred))
        return -EPROTO;
    if (pid)
        *pid = cred.pid;
    if (uid)
        *uid = cred.uid;
    return 0;
}
