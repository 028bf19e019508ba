/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * template - what VMs are made of on this host: for each image of images_dir a snapshot in the store, made once, and old snapshots that
 * VMs still stand on. Loop thread only.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/list.h"
#include "dataplane/vmhost/image/manifest.h"
#include "dataplane/vmhost/priv/privop.h"

struct arena;
struct host;
struct template_build;
struct templates;

enum template_status { TEMPLATE_BUILDING, TEMPLATE_READY, TEMPLATE_FAILED };

struct template {
    struct host *host;
    struct list node;             /* in templates */
    unsigned refs;                /* VMs */
    bool listed;                  /* an image of images_dir says so; else kept for its VMs only */
    enum template_status status;
    char message[256];            /* what it does, or why it failed */
    char slug[64], version[80];
    unsigned cpu_count, memory_mb, disk_mb;
    char snap[PRIV_HASH_SIZE];    /* fingerprint: its name in the store */
    char rootfs[PRIV_HASH_SIZE], kernel[PRIV_HASH_SIZE], initrd[PRIV_HASH_SIZE];
    char token[PRIV_HASH_SIZE];   /* secret: in force in the snapshot */
    char cmdline[PRIV_CMDLINE_SIZE]; /* of the kernel, without the token */
    uint64_t disk_virtual_bytes;
    bool unfinished;              /* its snapshot is still in the temporary folder: it is being tested */
    /* from the image; empty for those that are not listed */
    struct arena *arena;          /* owned */
    struct manifest manifest;
    char dir[PATH_MAX];
    uint64_t retry_ms;            /* a build that failed is tried again then; 0 = never */
    uint64_t stamp;               /* of manifest.json, to see changes */
    unsigned seen;                /* number of the scan that saw it last */
    struct template_build *build; /* owned */
};

int templates_new(struct templates **out, struct host *h) must_check;
void templates_free(struct templates *ts); /* NULL is fine */
/* Reads the store: from then on templates_find_snap() works, which adoption needs. */
typedef void templates_loaded_fn(void *arg, int r);
int templates_load(struct templates *ts, templates_loaded_fn *done, void *arg) must_check;
/* Reads images_dir now and every few seconds, makes what is missing, one after the other, and removes what nobody needs. */
void templates_start(struct templates *ts);

/* version NULL or "": the one that is listed. NULL when there is none. */
struct template *templates_find(struct templates *ts, const char *slug, const char *version);
struct template *templates_find_snap(struct templates *ts, const char *snap);
typedef void templates_each_fn(void *arg, struct template *t); /* listed ones */
void templates_each(struct templates *ts, templates_each_fn *fn, void *arg);
const char *template_status_name(enum template_status s); /* building ready failed */
bool templates_settled(const struct templates *ts);       /* nothing is being made or waits for it */

struct template *template_ref(struct template *t);
void template_unref(struct template *t); /* NULL is fine */
/* Name of the backing file for headers of overlays. */
void template_disk_path(const struct template *t, char *out, size_t size);
