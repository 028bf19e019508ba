/* SPDX-License-Identifier: Apache-2.0 */
/* store_scan - see store_scan.h */
#include "dataplane/vmhost/template/store_scan.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/image/snap_meta.h"
#include "dataplane/vmhost/image/sums.h"
#include "dataplane/vmhost/priv/priv.h"
#include "dataplane/vmhost/template/template_internal.h"
#include "dataplane/vmhost/vm/flow.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCAN_NAMES_MAX = 4096 };

struct store_scan {
    struct templates *ts;
    struct op *op;
    enum priv_kind kind;        /* being listed */
    char (*names)[PRIV_HASH_SIZE]; /* owned: all of that kind */
    unsigned count, at;
    struct flow flow;           /* reading one snapshot */
    int fds[PRIV_FILE_COUNT];   /* owned while it is read */
    enum priv_file opening;
    struct template work;       /* filled by the worker */
    templates_loaded_fn *done;
    void *arg;
    bool removing;
};

static void scan_close_fds(struct store_scan *s)
{
    for (int f = 0; f < PRIV_FILE_COUNT; f++)
        fd_closep(&s->fds[f]);
}

static struct store_scan *scan_new(struct templates *ts)
{
    struct store_scan *s = xnew(struct store_scan);

    s->ts = ts;
    for (int f = 0; f < PRIV_FILE_COUNT; f++)
        s->fds[f] = -1;
    ts->scan_job = s;
    return s;
}

static void scan_free(struct store_scan *s)
{
    s->ts->scan_job = NULL;
    op_cancel(&s->op);
    flow_drop(&s->flow);
    scan_close_fds(s);
    free(s->names);
    mem_wipe(s, sizeof(*s));
    free(s);
}

static void scan_end(struct store_scan *s, int r)
{
    templates_loaded_fn *done = s->done;
    void *arg = s->arg;

    scan_free(s);
    if (done)
        done(arg, r);
}

void store_scan_drop(struct templates *ts)
{
    if (ts->scan_job)
        scan_free(ts->scan_job);
}

/* ---- listing ---- */

static void scan_on_listed_all(struct store_scan *s);

static int scan_ask(struct store_scan *s);

static void scan_on_names(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct store_scan *s = arg;

    (void) fds;
    if (r < 0 || rep->count > PRIV_LIST_MAX) {
        log_error(NULL, "store cannot be listed", "error", rep ? rep->text : "the parent has gone");
        scan_end(s, r < 0 ? r : -EPROTO);
        return;
    }
    s->names = xrealloc(s->names, (s->count + PRIV_LIST_MAX) * sizeof(*s->names));
    for (unsigned i = 0; i < rep->count; i++)
        if (privop_hash_valid(rep->names[i]))
            memcpy(s->names[s->count++], rep->names[i], PRIV_HASH_SIZE);
    if (rep->count == PRIV_LIST_MAX && s->count < SCAN_NAMES_MAX) {
        r = scan_ask(s);
        if (r < 0)
            scan_end(s, r);
        return;
    }
    scan_on_listed_all(s);
}

static int scan_ask(struct store_scan *s)
{
    union priv_message m = {.store = {.head.op = PRIV_STORE_LIST, .kind = s->kind, .after = s->count}};

    return priv_call(s->ts->host->priv, &m, NULL, 0, &s->op, scan_on_names, s);
}

/* ---- reading a snapshot ---- */

static void scan_on_opened(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct store_scan *s = arg;

    if (r == 0 && rep->nfds == 1) {
        s->fds[s->opening] = take_fd(&fds[0]);
        flow_next(&s->flow);
    } else {
        flow_fail(&s->flow, r < 0 ? r : -EPROTO, "%s", rep ? rep->text : "the parent has gone");
    }
}

static int scan_open(struct store_scan *s, enum priv_file file, struct err *e)
{
    int r;

    s->opening = file;
    r = priv_store(s->ts->host->priv, PRIV_STORE_OPEN, PRIV_SNAP, file, s->names[s->at], false, 0, &s->op, scan_on_opened, s);
    return r < 0 ? err_set(e, r, "open a snapshot: %s", strerror(-r)) : FLOW_WAIT;
}

static int scan_step_meta(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return scan_open(arg, PRIV_FILE_META, e);
}

static int scan_step_sums(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return scan_open(arg, PRIV_FILE_SUMS, e);
}

static int scan_step_state(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return scan_open(arg, PRIV_FILE_STATE, e);
}

static int scan_step_memory(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return scan_open(arg, PRIV_FILE_MEMORY, e);
}

static int scan_step_disk(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return scan_open(arg, PRIV_FILE_DISK, e);
}

static int scan_read_fd(int fd, size_t max, struct buf *out, struct err *e)
{
    for (;;) {
        uint8_t *to = buf_reserve(out, 16 * KIB);
        ssize_t n = to ? read(fd, to, 16 * KIB) : -1;

        if (!to || out->len > max)
            return err_set(e, -EFBIG, "a file of it is too large");
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "read");
        if (n == 0)
            return 0;
        buf_commit(out, (size_t) n);
    }
}

static void scan_take_meta(struct template *t, const struct snap_meta *m)
{
    (void) str_copy(t->slug, sizeof(t->slug), m->slug); /* the table's limits fit */
    (void) str_copy(t->version, sizeof(t->version), m->template_version);
    (void) str_copy(t->snap, sizeof(t->snap), m->fingerprint);
    (void) str_copy(t->rootfs, sizeof(t->rootfs), m->rootfs);
    (void) str_copy(t->kernel, sizeof(t->kernel), m->kernel);
    (void) str_copy(t->initrd, sizeof(t->initrd), m->initrd);
    (void) str_copy(t->cmdline, sizeof(t->cmdline), m->cmdline);
    (void) str_copy(t->token, sizeof(t->token), m->boot_token);
    t->cpu_count = (unsigned) m->cpu_count;
    t->memory_mb = (unsigned) m->memory_mb;
    t->disk_virtual_bytes = (uint64_t) m->disk_virtual_bytes;
}

static int scan_work_meta(struct store_scan *s, struct err *e)
{
    struct arena *a = arena_new(4 * SNAP_META_BYTES_MAX);
    struct buf text = BUF_INIT(SNAP_META_BYTES_MAX + 16 * KIB);
    struct snap_meta m;
    int r = scan_read_fd(s->fds[PRIV_FILE_META], SNAP_META_BYTES_MAX, &text, e);

    if (r == 0)
        r = snap_meta_parse(buf_data(&text), text.len, a, &m, e);
    if (r == 0 && !str_eq(m.fingerprint, s->names[s->at]))
        r = err_set(e, -EBADMSG, "its fingerprint is not its name");
    if (r == 0)
        scan_take_meta(&s->work, &m);
    if (text.len)
        mem_wipe(buf_data(&text), text.len);
    buf_deinit(&text);
    arena_free(a);
    return r;
}

static int scan_work(void *arg, struct err *e)
{
    struct store_scan *s = arg;
    const struct sums_fds fds = {s->fds[PRIV_FILE_MEMORY], s->fds[PRIV_FILE_STATE], s->fds[PRIV_FILE_DISK]};
    struct buf table = BUF_INIT(SUMS_BYTES_MAX + 16 * KIB);
    int r = scan_work_meta(s, e);

    if (r == 0)
        r = scan_read_fd(s->fds[PRIV_FILE_SUMS], SUMS_BYTES_MAX, &table, e);
    if (r == 0)
        r = sums_verify(&fds, buf_data(&table), table.len, e);
    buf_deinit(&table);
    return r;
}

static int scan_step_verify(struct flow *f, void *arg, struct err *e)
{
    struct store_scan *s = arg;
    int r;

    memset(&s->work, 0, sizeof(s->work));
    r = flow_work(f, scan_work, s);
    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static const struct flow_step scan_steps[] = {
    {"meta", scan_step_meta, NULL},   {"sums", scan_step_sums, NULL},     {"state", scan_step_state, NULL},
    {"memory", scan_step_memory, NULL}, {"disk", scan_step_disk, NULL},   {"verify", scan_step_verify, NULL},
    {0},
};

static void scan_read_next(struct store_scan *s);

static void scan_on_read(void *arg, int r, const struct err *e)
{
    struct store_scan *s = arg;
    const char *name = s->names[s->at];

    scan_close_fds(s);
    if (r < 0) {
        /* never used again; a new one is made from the image */
        log_error(NULL, "snapshot is damaged, removing it", "snapshot", name, "error", err_text(e, r));
        if (r == -EBADMSG || r == -EINVAL || r == -ENOENT || r == -EFBIG)
            r = priv_store(s->ts->host->priv, PRIV_STORE_REMOVE, PRIV_SNAP, PRIV_FILE_META, name, false, 0, NULL, NULL, NULL);
    } else {
        struct template *t = template_new(s->ts);
        struct list node = t->node;

        s->work.host = t->host;
        memcpy(t, &s->work, sizeof(*t));
        t->node = node;
        t->status = TEMPLATE_READY;
    }
    mem_wipe(&s->work, sizeof(s->work));
    s->at++;
    scan_read_next(s);
}

static void scan_read_next(struct store_scan *s)
{
    if (s->at == s->count) {
        scan_end(s, 0);
        return;
    }
    flow_start(&s->flow, s->ts->host->loop, scan_steps, scan_on_read, s);
}

int templates_load(struct templates *ts, templates_loaded_fn *done, void *arg)
{
    struct store_scan *s = scan_new(ts);
    int r;

    s->kind = PRIV_SNAP;
    s->done = done;
    s->arg = arg;
    r = scan_ask(s);
    if (r < 0)
        scan_free(s);
    return r;
}

/* ---- removing ---- */

static bool scan_is_needed(const struct store_scan *s, const char *name)
{
    LIST_FOR_EACH(node, &s->ts->all) {
        const struct template *t = LIST_ENTRY(node, struct template, node);

        if (s->kind == PRIV_SNAP ? str_eq(t->snap, name) : str_eq(t->rootfs, name) || str_eq(t->kernel, name) || str_eq(t->initrd, name))
            return true;
    }
    return false;
}

static void scan_remove(struct store_scan *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        int r;

        if (scan_is_needed(s, s->names[i]))
            continue;
        log_info(NULL, "removing from the store what nobody needs", "kind", s->kind == PRIV_SNAP ? "snapshot" : "image", "name", s->names[i]);
        r = priv_store(s->ts->host->priv, PRIV_STORE_REMOVE, s->kind, s->kind == PRIV_SNAP ? PRIV_FILE_META : PRIV_FILE_BLOB, s->names[i],
                       false, 0, NULL, NULL, NULL);
        if (r < 0)
            log_error(NULL, "store object cannot be removed", "error", strerror(-r));
    }
}

static void scan_on_listed_all(struct store_scan *s)
{
    if (!s->removing) {
        scan_read_next(s);
        return;
    }
    if (!s->ts->building)
        scan_remove(s);
    if (s->kind == PRIV_BLOB || s->ts->building) {
        scan_end(s, 0);
        return;
    }
    s->kind = PRIV_BLOB;
    s->count = 0;
    if (scan_ask(s) < 0)
        scan_end(s, -EAGAIN);
}

void store_scan_remove_unused(struct templates *ts)
{
    struct store_scan *s;

    if (ts->scan_job)
        return;
    s = scan_new(ts);
    s->removing = true;
    s->kind = PRIV_SNAP;
    if (scan_ask(s) < 0)
        scan_free(s);
}
