/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* net - listening, connecting, passing descriptors. All descriptors are non-blocking and close-on-exec. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include "common/base/attr.h"

struct err;
struct loop;
struct op;

/* ---- listeners ---- */
struct listener;
typedef void accept_fn(void *arg, int fd /* taken */, const struct sockaddr *peer, socklen_t peer_len);
/* host: an address literal ("127.0.0.1", "::1", "0.0.0.0", "::"); port 0 picks one. Accepted TCP sockets get TCP_NODELAY. */
int listener_open_tcp(struct listener **out, struct loop *l, const char *host, uint16_t port, bool reuseport,
                      accept_fn *fn, void *arg, struct err *e) must_check;
/* type SOCK_STREAM or SOCK_SEQPACKET; an old socket file is replaced (without a gap) and removed by listener_close(). */
int listener_open_unix(struct listener **out, struct loop *l, const char *path, int type, mode_t mode,
                       accept_fn *fn, void *arg, struct err *e) must_check;
uint16_t listener_port(const struct listener *s);
void listener_pause(struct listener *s, bool paused); /* stop accepting under overload; EMFILE pauses by itself for 100 ms */
void listener_close(struct listener *s);

/* "host:port" with an IPv4 literal, "[v6]:port", or "localhost:port" (tries 127.0.0.1). */
struct net_addr {
    struct sockaddr_storage sa;
    socklen_t len;
};
int net_addr_parse(struct net_addr *out, const char *s, struct err *e) must_check;
void net_addr_format(const struct sockaddr *sa, char *out, size_t size); /* "1.2.3.4:5" */

/* ---- connect ---- */
typedef void connect_fn(void *arg, int r, int fd /* taken when r == 0 */);
int net_connect(struct loop *l, const struct net_addr *to, uint32_t deadline_ms, struct op **slot, connect_fn *done, void *arg) must_check;

/* ---- descriptor passing over unix sockets ---- */
/* One message of at least a byte; <= 16 descriptors, borrowed. 0, -EAGAIN, -errno; -EMSGSIZE when a byte stream took a part only. */
int net_send_fds(int sock, const void *p, size_t len, const int *fds, size_t nfds) must_check;
/* Bytes (0 = end of file) or -errno; received descriptors are close-on-exec and owned by the caller. *nfds in: room, out: count.
 * A truncated message is -EMSGSIZE and its descriptors are closed. */
ssize_t net_recv_fds(int sock, void *p, size_t len, int *fds, size_t *nfds) must_check;
int net_peer_cred(int sock, pid_t *pid, uid_t *uid) must_check;
