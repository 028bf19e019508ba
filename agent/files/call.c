/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - states: QUEUED (no helper yet), ASKED (request sent, nothing heard), BODY (the client's body flows to the helper), ANSWER (its
 * answer flows to the client). The helper is given back when both sides have ended; else it is ended with the call.
 */
#include "agent/files/call.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "agent/agent.h"
#include "agent/files/pool.h"
#include "agent/users/users.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "common/loop/loop.h"

#define DEFAULT_USER "user"

enum {
    OUT_HIGH = 256 * KIB, /* queued for the helper: the client is not read */
    OUT_LOW = 64 * KIB,
    REPLY_HIGH = 256 * KIB, /* queued for the client: the helper is not read */
    READ_BYTES = 128 * KIB,
    READS_A_TURN = 8,
    STALL_MS = 60000,     /* without a sign of life although the helper is due */
    STALL_TICK_MS = 5000,
};

enum call_state { CALL_QUEUED, CALL_ASKED, CALL_BODY, CALL_ANSWER, CALL_OVER };

struct file_call {
    struct agent *agent;
    struct http_req *req;  /* NULL once answered or gone */
    enum call_state state;
    bool has_body;
    bool body_wanted;      /* the helper has said GO */
    bool body_done;        /* all of the body is queued for the helper */
    bool req_paused, io_paused;
    struct pool_wait wait;
    struct helper *helper; /* owned from the pool until put back or ended */
    struct io *io;
    struct buf out;        /* for the helper */
    struct timer *stall;
    uint64_t moved_ms;     /* when the helper last did something, or was last not due */

    /* the message that is arriving */
    uint8_t head[FMSG_HEAD_SIZE];
    size_t head_len;
    size_t left;           /* of its payload */
    int64_t answer_left;   /* of the answer's body, as the helper has promised; -1 = not known */
    struct buf control;    /* payload of HEAD and ERROR */
};

static void call_on_io(void *arg, unsigned events);
static void call_on_stall(void *arg);

/* ---- ends ---- */

static void call_free(void *object)
{
    struct file_call *c = object;

    buf_deinit(&c->out);
    buf_deinit(&c->control);
    free(c);
}

enum helper_fate { HELPER_PUT, HELPER_END, HELPER_KILL };

static void call_over(struct file_call *c, enum helper_fate fate)
{
    struct helper *h = c->helper;

    if (c->state == CALL_OVER)
        return;
    c->state = CALL_OVER;
    pool_wait_cancel(&c->wait);
    io_close(c->io);
    c->io = NULL;
    timer_free(c->stall);
    c->stall = NULL;
    c->helper = NULL;
    c->req = NULL;
    if (h && fate == HELPER_PUT)
        helper_put(h);
    else if (h && fate == HELPER_KILL)
        helper_kill(h);
    else if (h)
        helper_end(h);
    loop_reap(c->agent->loop, c, call_free);
}

static void call_on_gone(void *arg, struct http_req *r)
{
    (void) r;
    call_over(arg, HELPER_END);
}

static void call_fail(struct file_call *c, enum helper_fate fate, int status, const char *code, const char *message)
{
    struct http_req *r = c->req;

    call_over(c, fate);
    if (status == 503 && !http_reply_begun(r))
        http_reply_header(r, "Retry-After", "1");
    http_reply_error(r, status, code, message); /* a cut, if the answer has begun */
}

/* ---- to the helper ---- */

static int call_flush(struct file_call *c)
{
    while (c->out.len) {
        ssize_t n = send(helper_fd(c->helper), buf_data(&c->out), c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        c->moved_ms = loop_now_ms(c->agent->loop);
        buf_consume(&c->out, (size_t) n);
    }
    return 0;
}

static void call_update(struct file_call *c)
{
    io_want(c->io, (c->io_paused ? 0 : IO_READ) | (c->out.len ? IO_WRITE : 0));
    bool paused = c->req_paused ? c->out.len > OUT_LOW : c->out.len > OUT_HIGH;

    if (paused != c->req_paused && c->state == CALL_BODY && !c->body_done) {
        c->req_paused = paused;
        http_req_pause(c->req, paused);
    }
}

static void call_put(struct file_call *c, enum fmsg_type type, const void *p, size_t len)
{
    uint8_t head[FMSG_HEAD_SIZE];

    fmsg_put_head(head, (uint32_t) len, type);
    if (buf_append(&c->out, head, sizeof(head)) < 0 || (len && buf_append(&c->out, p, len) < 0))
        abort(); /* limited by OUT_HIGH and one read of the engine */
}

/* An error of the socket is told by its other direction: the helper may have said why before it ended. */
static void call_push(struct file_call *c)
{
    if (call_flush(c) < 0)
        buf_clear(&c->out);
    call_update(c);
}

static void call_on_body(void *arg, struct http_req *r, const void *p, size_t len)
{
    struct file_call *c = arg;

    (void) r;
    while (len) {
        size_t one = len < FMSG_DATA_MAX ? len : FMSG_DATA_MAX;

        call_put(c, FMSG_DATA, p, one);
        p = (const uint8_t *) p + one;
        len -= one;
    }
    call_push(c);
}

static void call_on_body_end(void *arg, struct http_req *r, int result)
{
    struct file_call *c = arg;

    (void) r;
    if (result < 0) {
        call_over(c, HELPER_END);
        return;
    }
    c->body_done = true;
    call_put(c, FMSG_END, NULL, 0);
    call_push(c);
}

/* ---- from the helper ---- */

static void call_on_drain(void *arg, struct http_req *r)
{
    struct file_call *c = arg;

    (void) r;
    c->io_paused = false;
    c->moved_ms = loop_now_ms(c->agent->loop);
    call_update(c);
}

static const char *control_next(const char **p, const char *end)
{
    const char *text = *p, *nul = text < end ? memchr(text, '\0', (size_t) (end - text)) : NULL;

    if (!nul)
        return NULL;
    *p = nul + 1;
    return text;
}

/* Names are constants of ours, values may be made from what is in the file system. */
static bool header_is_ok(const char *name, const char *value)
{
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char) *p) && *p != '-')
            return false;
    }
    for (const char *p = value; *p; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f)
            return false;
    }
    return *name != '\0';
}

/* The helper's headers; false when it has sent nonsense. type: where the content type goes. */
static bool control_headers(struct http_req *r, const char *p, const char *end, const char **type)
{
    while (p < end) {
        const char *name = control_next(&p, end), *value = control_next(&p, end);

        if (!name || !value || !header_is_ok(name, value))
            return false;
        if (strcmp(name, "Content-Type") == 0)
            *type = value;
        else
            http_reply_header(r, name, value);
    }
    return true;
}

static int call_on_head(struct file_call *c, const struct fmsg_head *h, const char *p, const char *end)
{
    const char *type = NULL;

    if (!control_headers(c->req, p, end, &type))
        return -EPROTO;
    c->state = CALL_ANSWER;
    c->answer_left = h->length;
    http_reply_on_drain(c->req, call_on_drain, c);
    http_reply_begin(c->req, (int) h->status, type, h->length);
    return 0;
}

static int call_on_error(struct file_call *c, const struct fmsg_head *h, const char *p, const char *end)
{
    const char *code = control_next(&p, end), *message = control_next(&p, end), *type = NULL;
    enum helper_fate fate = !c->body_wanted || (c->body_done && !c->out.len) ? HELPER_PUT : HELPER_END;

    if (!code || !message || !control_headers(c->req, p, end, &type))
        return -EPROTO;
    char kept_code[64], kept_message[512]; /* the call and its buffers end before the answer is given */

    if (!str_copy(kept_code, sizeof(kept_code), code) || !str_copy(kept_message, sizeof(kept_message), message))
        return -EPROTO;
    call_fail(c, fate, (int) h->status, kept_code, kept_message);
    return 0;
}

static int call_on_control(struct file_call *c, enum fmsg_type type)
{
    const char *p = (const char *) buf_data(&c->control), *end = p + c->control.len;
    struct fmsg_head h;

    if (c->control.len < sizeof(h) || c->state == CALL_ANSWER)
        return -EPROTO;
    memcpy(&h, p, sizeof(h));
    p += sizeof(h);
    if (h.status < 200 || h.status > 599 || h.length < -1)
        return -EPROTO;
    return type == FMSG_HEAD ? call_on_head(c, &h, p, end) : call_on_error(c, &h, p, end);
}

static int call_on_go(struct file_call *c)
{
    if (!c->has_body || c->body_wanted || c->state != CALL_ASKED)
        return -EPROTO;
    c->state = CALL_BODY;
    c->body_wanted = true;
    http_req_stream(c->req, call_on_body, call_on_body_end, c);
    return 0;
}

static int call_on_end(struct file_call *c)
{
    struct http_req *r = c->req;
    bool clean = !c->body_wanted || (c->body_done && !c->out.len);

    if (c->state != CALL_ANSWER)
        return -EPROTO;
    call_over(c, clean ? HELPER_PUT : HELPER_END);
    http_reply_end(r);
    return 0;
}

/* A message's head is complete. */
static int call_on_message_begin(struct file_call *c)
{
    enum fmsg_type type = (enum fmsg_type) c->head[4];

    c->left = fmsg_len(c->head);
    buf_clear(&c->control);
    switch (type) {
    case FMSG_DATA:
        return c->state == CALL_ANSWER && c->left <= FMSG_DATA_MAX ? 0 : -EPROTO;
    case FMSG_HEAD:
    case FMSG_ERROR:
        return c->left && c->left <= FMSG_CONTROL_MAX ? 0 : -EPROTO;
    case FMSG_GO:
    case FMSG_TICK:
    case FMSG_END:
        return c->left == 0 ? 0 : -EPROTO;
    default:
        return -EPROTO;
    }
}

static int call_on_message_end(struct file_call *c)
{
    enum fmsg_type type = (enum fmsg_type) c->head[4];

    c->head_len = 0;
    switch (type) {
    case FMSG_GO:
        return call_on_go(c);
    case FMSG_END:
        return call_on_end(c);
    case FMSG_HEAD:
    case FMSG_ERROR:
        return call_on_control(c, type);
    default:
        return 0;
    }
}

/* Some of a message's payload. */
static int call_on_payload(struct file_call *c, const uint8_t *p, size_t len)
{
    if (c->head[4] != FMSG_DATA)
        return buf_append(&c->control, p, len);
    if (c->answer_left >= 0) {
        if (len > (uint64_t) c->answer_left)
            return -EPROTO;
        c->answer_left -= (int64_t) len;
    }
    if (http_reply_data(c->req, p, len) > REPLY_HIGH && !c->io_paused)
        c->io_paused = true;
    return 0;
}

static int call_parse(struct file_call *c, const uint8_t *p, size_t len)
{
    int r = 0;

    while (r == 0 && len && c->state != CALL_OVER) {
        size_t take;

        if (c->head_len < FMSG_HEAD_SIZE) {
            take = FMSG_HEAD_SIZE - c->head_len < len ? FMSG_HEAD_SIZE - c->head_len : len;
            memcpy(c->head + c->head_len, p, take);
            c->head_len += take;
            r = c->head_len == FMSG_HEAD_SIZE ? call_on_message_begin(c) : 0;
        } else {
            take = c->left < len ? c->left : len;
            c->left -= take;
            r = call_on_payload(c, p, take);
        }
        p += take;
        len -= take;
        if (r == 0 && c->head_len == FMSG_HEAD_SIZE && c->left == 0)
            r = call_on_message_end(c);
    }
    return r;
}

static void call_read(struct file_call *c)
{
    static uint8_t scratch[READ_BYTES];

    for (unsigned i = 0; i < READS_A_TURN && c->state != CALL_OVER && !c->io_paused; i++) {
        ssize_t n = recv(helper_fd(c->helper), scratch, sizeof(scratch), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) { /* killed (a user may do that to his own processes), or it could not finish its answer */
            call_fail(c, HELPER_END, 503, "interrupted", "the file operation was interrupted");
            return;
        }
        c->moved_ms = loop_now_ms(c->agent->loop);
        if (call_parse(c, scratch, (size_t) n) < 0) {
            call_fail(c, HELPER_KILL, 500, "internal", "the file operation failed");
            return;
        }
        if ((size_t) n < sizeof(scratch) / 4)
            return;
    }
}

static void call_on_io(void *arg, unsigned events)
{
    struct file_call *c = arg;

    if (events & IO_READ)
        call_read(c);
    if (c->state == CALL_OVER)
        return;
    if (events & IO_WRITE)
        call_push(c);
    else
        call_update(c);
}

/* ---- deadlines ---- */

/* Whether it is the helper that everybody waits for: not the client's body, not the client's reading. */
static bool call_helper_is_due(const struct file_call *c)
{
    if (c->io_paused)
        return false;
    return c->out.len || c->state != CALL_BODY || c->body_done;
}

static void call_on_stall(void *arg)
{
    struct file_call *c = arg;
    uint64_t now = loop_now_ms(c->agent->loop);

    if (!call_helper_is_due(c))
        c->moved_ms = now;
    if (now >= c->moved_ms + STALL_MS) {
        call_fail(c, HELPER_KILL, 504, "timeout", "the file system did not answer in time");
        return;
    }
    timer_set(c->stall, STALL_TICK_MS);
}

/* ---- the begin ---- */

static void call_on_helper(void *arg, enum pool_result r, struct helper *h)
{
    struct file_call *c = arg;

    if (r != POOL_OK) {
        call_fail(c, HELPER_END, 503, "overloaded", "too many file operations at once");
        return;
    }
    c->helper = h;
    c->state = CALL_ASKED;
    if (io_open(&c->io, c->agent->loop, helper_fd(h), call_on_io, c) < 0)
        abort(); /* out of memory */
    c->stall = timer_new(c->agent->loop, call_on_stall, c);
    c->moved_ms = loop_now_ms(c->agent->loop);
    timer_set(c->stall, STALL_TICK_MS);
    call_push(c);
}

static int call_write_request(struct file_call *c, enum fop_code op, const struct file_call_arg *args)
{
    cleanup(buf_deinit) struct buf body = BUF_INIT(FMSG_CONTROL_MAX);
    uint8_t code = (uint8_t) op;
    int r = buf_append(&body, &code, 1);

    for (; args->name && r == 0; args++) {
        if (!args->value)
            continue;
        r = buf_append(&body, args->name, strlen(args->name) + 1);
        r = r < 0 ? r : buf_append(&body, args->value, strlen(args->value) + 1);
    }
    if (r == 0)
        call_put(c, FMSG_REQUEST, buf_data(&body), body.len);
    return r;
}

static bool call_find_user(struct http_req *r, const char *name, struct user *u)
{
    struct err e = ERR_INIT;
    int n = user_find(u, str_empty(name) ? DEFAULT_USER : name, &e);

    if (n == USER_E_OK)
        return true;
    if (n < 0) {
        log_error(NULL, "could not look a user up", "reason", err_text(&e, n));
        http_reply_error(r, 500, "internal", "the users of the sandbox cannot be read");
    } else {
        http_reply_error(r, 422, "user_not_found", "there is no such user");
    }
    return false;
}

void file_call(struct agent *a, struct http_req *r, enum fop_code op, const char *user, const struct file_call_arg *args, bool body)
{
    cleanup(user_deinit) struct user u = {0};
    struct file_call *c;

    if (!call_find_user(r, user, &u))
        return;
    c = xnew(struct file_call);
    c->agent = a;
    c->req = r;
    c->has_body = body;
    buf_init(&c->out, 16 * MIB);
    buf_init(&c->control, FMSG_CONTROL_MAX);
    if (call_write_request(c, op, args) < 0) {
        call_free(c);
        http_reply_error(r, 422, "invalid_path", "the path is too long");
        return;
    }
    http_req_on_gone(r, call_on_gone, c);
    pool_get(a->files, &c->wait, &u, call_on_helper, c);
}
