/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_agent_call - a file helper that answers anything. The pool is a stand-in whose only helper is a socket with the input in it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "agent/agent.h"
#include "agent/files/call.h"
#include "agent/files/pool.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/loop/loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 60000, TURNS = 16 };

struct helper {
    int fd;
};

static const uint8_t *input;
static size_t input_len;
static struct helper the_helper;
static bool with_body;

/* ---- the stand-in ---- */

void pool_get(struct file_pool *p, struct pool_wait *w, const struct user *u, pool_fn *fn, void *arg)
{
    int sv[2];

    (void) p;
    (void) u;
    memset(w, 0, sizeof(*w));
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
    assert(send(sv[1], input, input_len, MSG_NOSIGNAL) == (ssize_t) input_len);
    close(sv[1]);
    the_helper.fd = sv[0];
    fn(arg, POOL_OK, &the_helper);
}

void pool_wait_cancel(struct pool_wait *w)
{
    (void) w;
}

int helper_fd(const struct helper *h)
{
    return h->fd;
}

void helper_put(struct helper *h)
{
    close(h->fd);
    h->fd = -1;
}

void helper_end(struct helper *h)
{
    helper_put(h);
}

void helper_kill(struct helper *h)
{
    helper_put(h);
}

int file_pool_new(struct file_pool **out, const struct file_pool_conf *conf)
{
    (void) out;
    (void) conf;
    return -1;
}

void file_pool_free(struct file_pool *p)
{
    (void) p;
}

void file_pool_warm(struct file_pool *p, const char *user_name)
{
    (void) p;
    (void) user_name;
}

/* ---- the target ---- */

static void on_request(void *arg, struct http_req *r)
{
    const struct file_call_arg args[] = {{"path", "/x"}, {0}};

    file_call(arg, r, with_body ? FOP_WRITE : FOP_READ, "root", args, with_body);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", put[] = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    const struct http_server_conf conf = {.name = "fuzz"};
    struct agent a = {0};
    int sv[2];

    if (size < 1 || size > INPUT_MAX)
        return 0;
    log_init("fuzz", -1, LOG_ERROR);
    with_body = data[0] & 1;
    input = data + 1;
    input_len = size - 1;
    the_helper.fd = -1;
    assert(loop_new(&a.loop) == 0 && http_server_new(&a.server, a.loop, &conf, on_request, &a) == 0);
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
    http_server_adopt(a.server, sv[0]);
    if (with_body)
        assert(send(sv[1], put, sizeof(put) - 1, MSG_NOSIGNAL) > 0);
    else
        assert(send(sv[1], get, sizeof(get) - 1, MSG_NOSIGNAL) > 0);
    turn(a.loop, sv[1]);
    http_server_free(a.server);
    loop_free(a.loop);
    close(sv[1]);
    assert(the_helper.fd == -1);
    return 0;
}
