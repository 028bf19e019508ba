/* SPDX-License-Identifier: Apache-2.0 */
/* template_store - steps of a template build that ask the parent for files of the store and fill them on worker threads */
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/image/qcow2.h"
#include "dataplane/vmhost/image/snap_meta.h"
#include "dataplane/vmhost/priv/priv.h"
#include "dataplane/vmhost/template/image_copy.h"
#include "dataplane/vmhost/template/template_steps.h"
#include "dataplane/vmhost/vm/disk_watch.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BUILD_ROOM_MB = 256 }; /* beside the memory: disk overlay, device state, checksums */

int build_undo_store(struct flow *f, void *arg)
{
    struct template_build *b = arg;

    (void) f;
    build_cancel(b);
    fd_closep(&b->fd);
    fd_closep(&b->state_fd);
    fd_closep(&b->memory_fd);
    return FLOW_NEXT;
}

static int build_ask(struct template_build *b, enum priv_op op, enum priv_kind kind, enum priv_file file, const char *name, bool unfinished,
                     uint64_t size, priv_done_fn *done, struct err *e)
{
    int r = priv_store(b->host->priv, op, kind, file, name, unfinished, size, &b->op, done, b);

    return r < 0 ? err_set(e, r, "store: %s", strerror(-r)) : FLOW_WAIT;
}

static void build_priv_fail(struct template_build *b, int r, const struct priv_reply *rep)
{
    flow_fail(&b->flow, r < 0 ? r : -EPROTO, "store: %s", rep ? rep->text[0] ? rep->text : strerror(-r) : "the parent has gone");
}

/* The plain end of an operation without a descriptor. */
static void build_on_asked(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct template_build *b = arg;

    (void) fds;
    if (r < 0)
        build_priv_fail(b, r, rep);
    else
        flow_next(&b->flow);
}

/* ---- image files: is it in the store? else created there, filled and proved by a worker, committed ---- */

static int build_pick(struct template_build *b, const char *blob_name, const char *blob_file)
{
    b->blob_name = blob_name;
    b->blob_file = blob_file;
    b->blob_there = false;
    return FLOW_NEXT;
}

int build_step_kernel(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    (void) e;
    return build_pick(b, b->t->kernel, b->t->manifest.kernel);
}

int build_step_initrd(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    (void) e;
    return build_pick(b, b->t->initrd, b->t->manifest.initrd);
}

int build_step_rootfs(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    (void) e;
    return build_pick(b, b->t->rootfs, b->t->manifest.rootfs);
}

static int build_read_size(struct template_build *b, int fd, struct err *e)
{
    return b->blob_name == b->t->rootfs ? qcow2_read_size(fd, &b->t->disk_virtual_bytes, e) : 0;
}

static void build_on_looked(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct template_build *b = arg;
    struct err e = ERR_INIT;

    if (r == -ENOENT) {
        flow_next(&b->flow);
        return;
    }
    if (r < 0 || rep->nfds != 1) {
        build_priv_fail(b, r, rep);
        return;
    }
    b->blob_there = true;
    r = build_read_size(b, fds[0], &e);
    if (r < 0)
        flow_fail(&b->flow, r, "root disk: %s", e.text);
    else
        flow_next(&b->flow);
}

int build_step_look(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    return build_ask(b, PRIV_STORE_OPEN, PRIV_BLOB, PRIV_FILE_BLOB, b->blob_name, false, 0, build_on_looked, e);
}

static void build_on_created(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct template_build *b = arg;

    if (r < 0 || rep->nfds != 1) {
        build_priv_fail(b, r, rep);
        return;
    }
    b->fd = take_fd(&fds[0]);
    flow_next(&b->flow);
}

int build_step_create(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    if (b->blob_there)
        return FLOW_NEXT;
    return build_ask(b, PRIV_STORE_CREATE, PRIV_BLOB, PRIV_FILE_BLOB, b->blob_name, false, 0, build_on_created, e);
}

static int build_work_copy(void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r = image_copy(b->t->dir, b->blob_file, b->blob_name, b->fd, e);

    if (r == 0)
        r = build_read_size(b, b->fd, e);
    fd_closep(&b->fd); /* before the commit, which proves that nobody can write it any more */
    return r;
}

int build_step_copy(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r;

    if (b->blob_there)
        return FLOW_NEXT;
    r = flow_work(f, build_work_copy, b);
    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

int build_step_blob(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    if (b->blob_there)
        return FLOW_NEXT;
    return build_ask(b, PRIV_STORE_COMMIT, PRIV_BLOB, PRIV_FILE_BLOB, b->blob_name, false, 0, build_on_asked, e);
}

int build_undo_blob(struct flow *f, void *arg)
{
    struct template_build *b = arg;

    (void) build_undo_store(f, b);
    if (b->blob_name && !b->blob_there &&
        priv_store(b->host->priv, PRIV_STORE_REMOVE, PRIV_BLOB, PRIV_FILE_BLOB, b->blob_name, true, 0, NULL, NULL, NULL) < 0)
        log_error(NULL, "an unfinished image is left in the store");
    return FLOW_NEXT;
}

/* ---- the files of the snapshot ---- */

/* While the guest boots, its memory file may become as large as its memory; a write that fails there kills QEMU without a word. */
static int build_check_room(const struct template_build *b, struct err *e)
{
    int64_t need = ((int64_t) b->t->memory_mb + BUILD_ROOM_MB) * MIB;
    struct disk_usage u;

    disk_watch_read(b->host, &u);
    if (u.total == 0 || u.free_bytes >= need)
        return 0;
    return err_set(e, -ENOSPC, "%lld MB must be free in '%s' to make this template, but %lld are", (long long) (need / MIB),
                   b->host->conf->state_dir, (long long) (u.free_bytes / MIB));
}

int build_step_begin(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;
    int r = build_check_room(b, e);

    (void) f;
    if (r < 0)
        return r;
    return build_ask(b, PRIV_STORE_BEGIN, PRIV_SNAP, PRIV_FILE_META, b->t->snap, false, 0, build_on_asked, e);
}

int build_undo_begin(struct flow *f, void *arg)
{
    struct template_build *b = arg;

    (void) build_undo_store(f, b);
    if (priv_store(b->host->priv, PRIV_STORE_REMOVE, PRIV_SNAP, PRIV_FILE_META, b->t->snap, true, 0, NULL, NULL, NULL) < 0)
        log_error(NULL, "an unfinished snapshot is left in the store");
    return FLOW_NEXT;
}

static int build_create(struct template_build *b, enum priv_file file, uint64_t size, priv_done_fn *done, struct err *e)
{
    return build_ask(b, PRIV_STORE_CREATE, PRIV_SNAP, file, b->t->snap, false, size, done, e);
}

static int build_work_disk(void *arg, struct err *e)
{
    struct template_build *b = arg;
    char backing[PATH_MAX];
    int r;

    snprintf(backing, sizeof(backing), "%s/store/blobs/%s", b->host->conf->state_dir, b->t->rootfs);
    r = qcow2_write_overlay(b->fd, b->t->disk_virtual_bytes, backing, e);
    fd_closep(&b->fd);
    return r;
}

int build_step_disk(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return build_create(arg, PRIV_FILE_DISK, 0, build_on_created, e);
}

int build_step_write_disk(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, build_work_disk, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static void build_on_memory(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct template_build *b = arg;

    if (r < 0 || rep->nfds != 1) {
        build_priv_fail(b, r, rep);
        return;
    }
    b->memory_fd = take_fd(&fds[0]); /* kept: the zero pages become holes when QEMU has ended */
    flow_next(&b->flow);
}

int build_step_memory(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    return build_create(b, PRIV_FILE_MEMORY, (uint64_t) b->t->memory_mb * MIB, build_on_memory, e);
}

static void build_on_state(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct template_build *b = arg;

    if (r < 0 || rep->nfds != 1) {
        build_priv_fail(b, r, rep);
        return;
    }
    b->state_fd = take_fd(&fds[0]);
    flow_next(&b->flow);
}

int build_step_state(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return build_create(arg, PRIV_FILE_STATE, 0, build_on_state, e);
}

/* ---- checksums and description ---- */

static void build_on_opened(void *arg, int r, const struct priv_reply *rep, int *fds)
{
    struct template_build *b = arg;

    if (r < 0 || rep->nfds != 1) {
        build_priv_fail(b, r, rep);
        return;
    }
    if (b->file == PRIV_FILE_STATE)
        b->state_fd = take_fd(&fds[0]);
    else
        b->fd = take_fd(&fds[0]);
    flow_next(&b->flow);
}

static int build_open(struct template_build *b, enum priv_file file, struct err *e)
{
    b->file = file;
    return build_ask(b, PRIV_STORE_OPEN, PRIV_SNAP, file, b->t->snap, true, 0, build_on_opened, e);
}

int build_step_open_state(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return build_open(arg, PRIV_FILE_STATE, e);
}

int build_step_open_disk(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return build_open(arg, PRIV_FILE_DISK, e);
}

static int build_file_size(int fd, int64_t *out, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, "size of a file of the snapshot");
    *out = st.st_size;
    return 0;
}

static int build_work_sums(void *arg, struct err *e)
{
    struct template_build *b = arg;
    const struct sums_fds fds = {b->memory_fd, b->state_fd, b->fd};
    int r = sums_make(&fds, true, &b->sums, &b->memory_used, e);

    if (r == 0 && (fsync(b->memory_fd) < 0 || fsync(b->fd) < 0 || fsync(b->state_fd) < 0))
        r = err_errno(e, "fsync the snapshot");
    if (r == 0 && (build_file_size(b->memory_fd, &b->memory_bytes, e) < 0 || build_file_size(b->state_fd, &b->state_bytes, e) < 0 ||
                   build_file_size(b->fd, &b->disk_bytes, e) < 0))
        r = -EIO;
    if (r == 0 && b->memory_bytes != (int64_t) b->t->memory_mb * MIB)
        r = err_set(e, -EBADMSG, "memory file has %lld bytes", (long long) b->memory_bytes);
    fd_closep(&b->memory_fd);
    fd_closep(&b->state_fd);
    fd_closep(&b->fd);
    return r;
}

int build_step_sums(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, build_work_sums, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

static int build_write_file(struct template_build *b, const struct buf *text, struct err *e)
{
    int r = fd_write_all(b->fd, buf_data(text), text->len);

    if (r == 0 && fsync(b->fd) < 0)
        r = -errno;
    fd_closep(&b->fd);
    return r < 0 ? err_set(e, r, "write the description: %s", strerror(-r)) : 0;
}

static int build_work_write_sums(void *arg, struct err *e)
{
    struct template_build *b = arg;

    return build_write_file(b, &b->sums, e);
}

static int build_work_write_meta(void *arg, struct err *e)
{
    struct template_build *b = arg;
    struct template *t = b->t;
    cleanup(buf_deinit) struct buf text = BUF_INIT(SNAP_META_BYTES_MAX);
    const struct snap_meta m = {
        .fingerprint = t->snap, .slug = t->slug, .template_version = t->version, .rootfs = t->rootfs, .kernel = t->kernel,
        .initrd = t->initrd, .boot_token = t->token, .cmdline = t->cmdline, .qemu_version = b->host->qemu_version,
        .accelerator = (char *) fingerprint_accel_name(b->host->accel), .cpu_model = (char *) privop_cpu_name(b->host->cpu_model),
        .cpu_count = t->cpu_count, .memory_mb = t->memory_mb, .disk_virtual_bytes = (int64_t) t->disk_virtual_bytes,
        .memory_bytes = b->memory_bytes, .state_bytes = b->state_bytes, .disk_bytes = b->disk_bytes, .made_at_ms = clock_real_ms(),
    };
    int r = snap_meta_write(&text, &m);

    r = r < 0 ? err_set(e, r, "description is too large") : build_write_file(b, &text, e);
    mem_wipe(buf_data(&text), text.len); /* the token */
    return r;
}

int build_step_create_sums(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return build_create(arg, PRIV_FILE_SUMS, 0, build_on_created, e);
}

int build_step_write_sums(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, build_work_write_sums, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

int build_step_create_meta(struct flow *f, void *arg, struct err *e)
{
    (void) f;
    return build_create(arg, PRIV_FILE_META, 0, build_on_created, e);
}

int build_step_write_meta(struct flow *f, void *arg, struct err *e)
{
    int r = flow_work(f, build_work_write_meta, arg);

    return r < 0 ? err_set(e, r, "worker: %s", strerror(-r)) : FLOW_WAIT;
}

int build_step_commit(struct flow *f, void *arg, struct err *e)
{
    struct template_build *b = arg;

    (void) f;
    return build_ask(b, PRIV_STORE_COMMIT, PRIV_SNAP, PRIV_FILE_META, b->t->snap, false, 0, build_on_asked, e);
}
