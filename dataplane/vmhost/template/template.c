/* SPDX-License-Identifier: Apache-2.0 */
/* template - see template.h */
#include "dataplane/vmhost/template/template.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/loop/loop.h"
#include "common/loop/op.h"
#include "dataplane/vmhost/app.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/image/fingerprint.h"
#include "dataplane/vmhost/template/store_scan.h"
#include "dataplane/vmhost/template/template_build.h"
#include "dataplane/vmhost/template/template_internal.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RESCAN_MS = 10000, RETRY_MS = 60000 };

static const char *const template_status_names[] = {"building", "ready", "failed"};

const char *template_status_name(enum template_status s)
{
    return template_status_names[s];
}

/* ---- objects ---- */

struct template *template_new(struct templates *ts)
{
    struct template *t = xnew(struct template);

    t->host = ts->host;
    list_append(&ts->all, &t->node);
    return t;
}

static void template_reap(void *object)
{
    struct template *t = object;

    mem_wipe(t, sizeof(*t));
    free(t);
}

void template_free(struct template *t)
{
    assert(t->refs == 0);
    template_build_drop(t->build);
    list_del(&t->node);
    arena_free(t->arena);
    loop_reap(t->host->loop, t, template_reap);
}

struct template *template_ref(struct template *t)
{
    if (t)
        t->refs++;
    return t;
}

void template_unref(struct template *t)
{
    if (!t)
        return;
    assert(t->refs > 0);
    t->refs--; /* the next scan removes it when it is not listed */
}

void template_disk_path(const struct template *t, char *out, size_t size)
{
    snprintf(out, size, "%s/store/%s/%s/disk", t->host->conf->state_dir, t->unfinished ? "tmp" : "snaps", t->snap);
}

/* ---- finding ---- */

struct template *templates_find(struct templates *ts, const char *slug, const char *version)
{
    LIST_FOR_EACH(node, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);

        if (t->listed && str_eq(t->slug, slug) && (str_empty(version) || str_eq(t->version, version)))
            return t;
    }
    return NULL;
}

struct template *templates_find_snap(struct templates *ts, const char *snap)
{
    LIST_FOR_EACH(node, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);

        if (t->status == TEMPLATE_READY && str_eq(t->snap, snap))
            return t;
    }
    return NULL;
}

void templates_each(struct templates *ts, templates_each_fn *fn, void *arg)
{
    LIST_FOR_EACH_SAFE(node, next, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);

        if (t->listed)
            fn(arg, t);
    }
}

bool templates_settled(const struct templates *ts)
{
    if (!ts->scanned)
        return false;
    LIST_FOR_EACH(node, &ts->all)
        if (LIST_ENTRY(node, struct template, node)->status == TEMPLATE_BUILDING)
            return false;
    return true;
}

/* ---- images ---- */

static void template_fingerprint(struct template *t)
{
    const struct manifest *m = &t->manifest;
    const struct fingerprint f = {
        .qemu_series = t->host->qemu_series, .accel = t->host->accel, .cpu_model = privop_cpu_name(t->host->cpu_model),
        .cpu_count = (unsigned) m->cpu_count, .memory_mb = (unsigned) m->memory_mb, .rootfs_sha256 = m->rootfs_sha256,
        .kernel_sha256 = m->kernel_sha256, .initrd_sha256 = m->initrd_sha256, .cmdline = m->cmdline,
    };

    fingerprint_hex(&f, t->snap);
}

static void template_fail(struct template *t, const char *text)
{
    t->status = TEMPLATE_FAILED;
    snprintf(t->message, sizeof(t->message), "%s", text);
    log_error(NULL, "template cannot be used", "template", t->slug, "version", t->version, "error", text);
}

static void template_take_manifest(struct template *t)
{
    const struct manifest *m = &t->manifest;

    (void) str_copy(t->slug, sizeof(t->slug), m->slug); /* the manifest's limits are smaller */
    (void) str_copy(t->version, sizeof(t->version), m->version);
    (void) str_copy(t->cmdline, sizeof(t->cmdline), m->cmdline);
    (void) str_copy(t->rootfs, sizeof(t->rootfs), m->rootfs_sha256);
    (void) str_copy(t->kernel, sizeof(t->kernel), m->kernel_sha256);
    (void) str_copy(t->initrd, sizeof(t->initrd), m->initrd_sha256);
    t->cpu_count = (unsigned) m->cpu_count;
    t->memory_mb = (unsigned) m->memory_mb;
    t->disk_mb = (unsigned) m->disk_mb;
    template_fingerprint(t);
}

static int template_read_manifest(struct template *t, const char *path, struct err *e)
{
    struct buf text = BUF_INIT(MANIFEST_BYTES_MAX);
    int r = file_read(path, MANIFEST_BYTES_MAX, &text, e);

    t->arena = arena_new(4 * MANIFEST_BYTES_MAX);
    if (r == 0)
        r = manifest_parse(buf_data(&text), text.len, t->arena, &t->manifest, e);
    buf_deinit(&text);
    return r;
}

/* The snapshot of an equal fingerprint that the store already has takes the image's name. */
static bool template_adopt_snapshot(struct templates *ts, struct template *t)
{
    LIST_FOR_EACH(node, &ts->all) {
        struct template *old = LIST_ENTRY(node, struct template, node);

        if (old == t || old->status != TEMPLATE_READY || !str_eq(old->snap, t->snap))
            continue;
        memcpy(t->token, old->token, sizeof(t->token));
        t->disk_virtual_bytes = old->disk_virtual_bytes;
        t->status = TEMPLATE_READY;
        t->message[0] = '\0';
        log_info(NULL, "template is ready", "template", t->slug, "version", t->version, "snapshot", t->snap);
        return true;
    }
    return false;
}

static bool template_is_known(struct templates *ts, const char *dir, uint64_t stamp)
{
    LIST_FOR_EACH(node, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);

        if (t->listed && str_eq(t->dir, dir) && t->stamp == stamp) {
            t->seen = ts->scan;
            return true;
        }
    }
    return false;
}

/* A new version of a slug takes the place of the old one, which stays for its VMs. */
static void template_replace(struct templates *ts, const struct template *by)
{
    LIST_FOR_EACH(node, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);

        if (t != by && t->listed && (str_eq(t->dir, by->dir) || str_eq(t->slug, by->slug))) {
            log_info(NULL, "template is replaced", "template", t->slug, "version", t->version, "by", by->version);
            t->listed = false;
        }
    }
}

static void templates_take_image(struct templates *ts, const char *name)
{
    char dir[PATH_MAX], path[PATH_MAX];
    struct err e = ERR_INIT;
    struct template *t;
    struct stat st;
    uint64_t stamp;

    if (snprintf(dir, sizeof(dir), "%s/%s", ts->host->conf->images_dir, name) >= (int) sizeof(dir) ||
        snprintf(path, sizeof(path), "%s/manifest.json", dir) >= (int) sizeof(path) || stat(path, &st) < 0)
        return; /* a folder without a manifest is none of ours */
    stamp = (uint64_t) st.st_mtim.tv_sec * 1000000000u + (uint64_t) st.st_mtim.tv_nsec + st.st_ino;
    if (template_is_known(ts, dir, stamp))
        return;
    t = template_new(ts);
    t->listed = true;
    t->seen = ts->scan;
    t->stamp = stamp;
    (void) str_copy(t->dir, sizeof(t->dir), dir);
    (void) str_copy(t->slug, sizeof(t->slug), strlen(name) < sizeof(t->slug) ? name : "?");
    (void) str_copy(t->version, sizeof(t->version), "unknown"); /* until the manifest says */
    if (template_read_manifest(t, path, &e) < 0) {
        template_fail(t, e.text);
        template_replace(ts, t);
        return;
    }
    template_take_manifest(t);
    template_replace(ts, t);
    (void) template_adopt_snapshot(ts, t);
}

/* ---- building, one after the other ---- */

static void templates_build_next(struct templates *ts);

static void templates_on_built(void *arg, int r, const struct err *e)
{
    struct template *t = arg;
    struct templates *ts = t->host->templates;

    t->build = NULL;
    ts->building = NULL;
    t->unfinished = false;
    if (r == 0) {
        t->status = TEMPLATE_READY;
        t->message[0] = '\0';
        log_info(NULL, "template is ready", "template", t->slug, "version", t->version, "snapshot", t->snap);
    } else {
        template_fail(t, err_text(e, r));
        t->retry_ms = loop_now_ms(t->host->loop) + RETRY_MS; /* a full disk may have room again */
    }
    template_unref(t);
    templates_build_next(ts);
}

static void templates_build_next(struct templates *ts)
{
    if (ts->building || !ts->started)
        return;
    LIST_FOR_EACH(node, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);
        struct err e = ERR_INIT;

        if (!t->listed || t->status != TEMPLATE_BUILDING || template_adopt_snapshot(ts, t))
            continue;
        ts->building = template_ref(t);
        int r = template_build_start(t, templates_on_built, t);

        if (r == 0)
            return;
        err_set(&e, r, "build: %s", strerror(-r));
        templates_on_built(t, r, &e);
        return; /* which went on with the next */
    }
}

/* ---- scanning ---- */

static void templates_scan_images(struct templates *ts)
{
    const char *dir = ts->host->conf->images_dir;
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);

    if (n < 0) {
        if (!ts->warned)
            log_error(NULL, "images_dir cannot be read: this host can make no virtual machines", "folder", dir, "error", strerror(errno));
        ts->warned = true;
        return;
    }
    ts->warned = false;
    ts->scan++;
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.')
            templates_take_image(ts, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static void templates_retry(struct templates *ts)
{
    LIST_FOR_EACH(node, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);

        if (t->listed && t->status == TEMPLATE_FAILED && t->retry_ms && loop_now_ms(ts->host->loop) >= t->retry_ms) {
            t->retry_ms = 0;
            t->status = TEMPLATE_BUILDING;
        }
    }
}

/* Returns whether the store may hold something that nobody needs now. */
static bool templates_drop_unused(struct templates *ts)
{
    bool dropped = !ts->cleaned;

    LIST_FOR_EACH_SAFE(node, next, &ts->all) {
        struct template *t = LIST_ENTRY(node, struct template, node);

        if (t->listed && t->seen != ts->scan && t->refs == 0 && !t->build) {
            log_info(NULL, "template is gone from images_dir", "template", t->slug, "version", t->version);
            t->listed = false;
        }
        if (!t->listed && t->refs == 0 && !t->build) {
            template_free(t);
            dropped = true;
        }
    }
    return dropped;
}

static void templates_on_scan(void *arg)
{
    struct templates *ts = arg;

    templates_scan_images(ts);
    if (!ts->warned) {
        ts->scanned = true;
        templates_retry(ts);
        templates_build_next(ts);
        ts->cleaned = !templates_drop_unused(ts);
        if (!ts->building && !ts->cleaned) {
            store_scan_remove_unused(ts);
            ts->cleaned = true;
        }
    }
    timer_set(ts->timer, RESCAN_MS);
}

void templates_start(struct templates *ts)
{
    ts->started = true;
    templates_on_scan(ts);
}

/* ---- life ---- */

int templates_new(struct templates **out, struct host *h)
{
    struct templates *ts = xnew(struct templates);

    ts->host = h;
    list_init(&ts->all);
    ts->timer = timer_new(h->loop, templates_on_scan, ts);
    *out = ts;
    return 0;
}

void templates_free(struct templates *ts)
{
    if (!ts)
        return;
    timer_free(ts->timer);
    store_scan_drop(ts);
    while (!list_empty(&ts->all)) {
        struct template *t = LIST_ENTRY(ts->all.next, struct template, node);

        t->refs = 0;
        template_free(t);
    }
    free(ts);
}
