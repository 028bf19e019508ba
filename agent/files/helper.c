/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files/helper.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "agent/files/path.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { TICK_MS = 1000 };

static void (*const operations[FOP_COUNT])(struct fop *f) = {
    [FOP_READ] = op_read, [FOP_WRITE] = op_write, [FOP_STAT] = op_stat,   [FOP_EXISTS] = op_exists,
    [FOP_MOVE] = op_move, [FOP_DELETE] = op_delete, [FOP_MKDIR] = op_mkdir, [FOP_LIST] = op_list,
};

/* ---- the socket ---- */

no_return void fop_abort(struct fop *f)
{
    if (f->temp)
        (void) unlink(f->temp);
    _exit(0);
}

static void recv_all(struct fop *f, void *p, size_t len)
{
    while (len) {
        ssize_t n = recv(f->fd, p, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            fop_abort(f); /* the agent, or its client, has gone */
        p = (uint8_t *) p + n;
        len -= (size_t) n;
    }
}

static void send_all(struct fop *f, struct iovec *iov, int n)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t) n};

    while (msg.msg_iovlen) {
        ssize_t sent = sendmsg(f->fd, &msg, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            fop_abort(f);
        while (msg.msg_iovlen && (size_t) sent >= msg.msg_iov->iov_len) {
            sent -= (ssize_t) msg.msg_iov->iov_len;
            msg.msg_iov++;
            msg.msg_iovlen--;
        }
        if (msg.msg_iovlen) {
            msg.msg_iov->iov_base = (uint8_t *) msg.msg_iov->iov_base + sent;
            msg.msg_iov->iov_len -= (size_t) sent;
        }
    }
}

static void send_message(struct fop *f, enum fmsg_type type, const void *p, size_t len)
{
    uint8_t head[FMSG_HEAD_SIZE];
    struct iovec iov[] = {{head, sizeof(head)}, {(void *) p, len}};

    fmsg_put_head(head, (uint32_t) len, type);
    send_all(f, iov, len ? 2 : 1);
}

static enum fmsg_type recv_head(struct fop *f, size_t *len)
{
    uint8_t head[FMSG_HEAD_SIZE];

    recv_all(f, head, sizeof(head));
    *len = fmsg_len(head);
    return (enum fmsg_type) head[4];
}

/* ---- the request ---- */

const char *fop_arg(const struct fop *f, const char *name)
{
    return fmsg_get(f->args, f->args_len, name);
}

bool fop_flag(const struct fop *f, const char *name)
{
    return str_eq(fop_arg(f, name), "1");
}

char *fop_path(struct fop *f, const char *name)
{
    const char *given = fop_arg(f, name);
    char *path = given ? path_absolute(f->workspace, given) : NULL;

    if (!path)
        fop_error(f, 422, "invalid_request", "path: is empty");
    return path;
}

char *fop_shown_path(const char *path)
{
    char whole[PATH_MAX];

    if (!path_has_dotdot(path))
        return xstrdup(path);
    cleanup(freep) char *dir = path_dir(path);
    const char *base = path_base(path);

    if (strcmp(base, "..") == 0)
        return xstrdup(realpath(path, whole) ? whole : path);
    return realpath(dir, whole) ? path_join(whole, base) : xstrdup(path);
}

void fop_go(struct fop *f)
{
    send_message(f, FMSG_GO, NULL, 0);
}

size_t fop_body(struct fop *f, const uint8_t **p)
{
    size_t len;
    enum fmsg_type type = recv_head(f, &len);

    if (type == FMSG_END && len == 0)
        return 0;
    if (type != FMSG_DATA || len == 0 || len > FMSG_DATA_MAX)
        fop_abort(f);
    recv_all(f, f->io, len);
    *p = f->io;
    return len;
}

/* ---- the answer ---- */

static void put_pairs(struct buf *out, const char *const *texts)
{
    for (; texts && *texts; texts++) {
        if (buf_append(out, *texts, strlen(*texts) + 1) < 0)
            abort(); /* a few constants and numbers */
    }
}

static void send_control(struct fop *f, enum fmsg_type type, int status, int64_t length, const char *const *first, const char *const *second)
{
    cleanup(buf_deinit) struct buf out = BUF_INIT(FMSG_CONTROL_MAX);
    const struct fmsg_head head = {.length = length, .status = (uint32_t) status};

    if (buf_append(&out, &head, sizeof(head)) < 0)
        abort();
    put_pairs(&out, first);
    put_pairs(&out, second);
    send_message(f, type, buf_data(&out), out.len);
}

void fop_head(struct fop *f, int status, int64_t length, const char *const *headers)
{
    send_control(f, FMSG_HEAD, status, length, headers, NULL);
}

void fop_data(struct fop *f, const void *p, size_t len)
{
    while (len) {
        size_t one = len < FMSG_DATA_MAX ? len : FMSG_DATA_MAX;

        send_message(f, FMSG_DATA, p, one);
        p = (const uint8_t *) p + one;
        len -= one;
    }
}

void fop_end(struct fop *f)
{
    send_message(f, FMSG_END, NULL, 0);
}

void fop_json(struct fop *f, const struct buf *json)
{
    const char *const headers[] = {"Content-Type", "application/json", NULL};

    fop_head(f, 200, (int64_t) json->len, headers);
    fop_data(f, buf_data(json), json->len);
    fop_end(f);
}

void fop_empty(struct fop *f)
{
    fop_head(f, 204, 0, NULL);
    fop_end(f);
}

void fop_error_headers(struct fop *f, int status, const char *code, const char *message, const char *const *headers)
{
    const char *const words[] = {code, message, NULL};

    send_control(f, FMSG_ERROR, status, 0, words, headers);
}

void fop_error(struct fop *f, int status, const char *code, const char *message)
{
    fop_error_headers(f, status, code, message, NULL);
}

static const struct {
    int error, status;
    const char *code;
} errno_rows[] = {
    {ENOENT, 404, "file_not_found"},        {ENOTDIR, 404, "file_not_found"},     {EACCES, 403, "permission_denied"},
    {EPERM, 403, "permission_denied"},      {EROFS, 403, "permission_denied"},    {EEXIST, 409, "exists"},
    {ENOTEMPTY, 409, "directory_not_empty"}, {EBUSY, 409, "busy"},                {ETXTBSY, 409, "busy"},
    {EISDIR, 422, "is_a_directory"},        {ELOOP, 422, "too_many_links"},       {ENAMETOOLONG, 422, "invalid_path"},
    {EFBIG, 413, "too_large"},              {ENOSPC, 507, "not_enough_space"},    {EDQUOT, 507, "not_enough_space"},
    {EMFILE, 503, "overloaded"},            {ENFILE, 503, "overloaded"},          {ENOMEM, 503, "overloaded"},
    {EOPNOTSUPP, 422, "not_supported"},     {EINVAL, 422, "invalid_path"},
};

void fop_errno(struct fop *f, int error, const char *what)
{
    char message[256];

    /* A long path is cut; it may hold any byte, the JSON writer sees to that. */
    snprintf(message, sizeof(message), "%.160s: %s", what, strerror(error));
    for (size_t i = 0; i < ARRAY_LEN(errno_rows); i++) {
        if (errno_rows[i].error == error) {
            fop_error(f, errno_rows[i].status, errno_rows[i].code, message);
            return;
        }
    }
    fop_error(f, 500, "io_error", message);
}

void fop_tick(struct fop *f)
{
    uint64_t now = clock_mono_ms();

    if (now < f->tick_ms + TICK_MS)
        return;
    f->tick_ms = now;
    send_message(f, FMSG_TICK, NULL, 0);
}

/* ---- the process ---- */

static void helper_serve(struct fop *f)
{
    size_t len;
    enum fmsg_type type = recv_head(f, &len);
    uint8_t op;

    if (type != FMSG_REQUEST || len < 1 || len > sizeof(f->args))
        fop_abort(f);
    recv_all(f, &op, 1);
    f->args_len = len - 1;
    recv_all(f, f->args, f->args_len);
    if (op >= FOP_COUNT || !operations[op])
        fop_abort(f);
    id_names_refresh(&f->users);
    id_names_refresh(&f->groups);
    f->tick_ms = clock_mono_ms();
    operations[op](f);
    free(f->temp);
    f->temp = NULL;
}

no_return void helper_main(int fd, const char *workspace)
{
    struct fop *f = xnew(struct fop);

    f->fd = fd;
    f->workspace = workspace;
    f->io = xmalloc(FMSG_DATA_MAX);
    id_names_init(&f->users, false);
    id_names_init(&f->groups, true);
    for (;;)
        helper_serve(f);
}
