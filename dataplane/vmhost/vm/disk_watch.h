/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * disk_watch - how full the file system of state_dir is. Above disk_full_pct no VM is made. A reserve file is given up when a VM stops
 * for want of space, so that it (and the journal) can go on for a while, and made again when there is room.
 */
#include <stdbool.h>
#include <stdint.h>

struct host;
struct metric;

extern struct metric metric_vm_io_errors;

struct disk_usage {
    int64_t total, free_bytes;
    int used_pct;
};
void disk_watch_read(const struct host *h, struct disk_usage *out); /* zeros when it cannot be told */
bool disk_watch_is_full(const struct host *h);
bool disk_watch_may_go_on(const struct host *h); /* there is room for a stopped VM */
void disk_watch_free_reserve(struct host *h);
void disk_watch_make_reserve(struct host *h);    /* when there is room; in the background */
