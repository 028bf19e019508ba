/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store - template snapshots and the images they stand on, below <state_dir>/store; root's alone.
 *
 *     blobs/<sha256>                 one image file (root disk, kernel, initramfs), read-only
 *     snaps/<fingerprint>/{meta,sums,state,memory,disk}
 *     tmp/blob-<sha256>, tmp/snap-<fingerprint>/   in the making; removed when the parent starts
 *
 * A finished object is never written again: QEMU maps its memory privately and every byte of every clone depends on it. Commit proves
 * with a file lease that nobody holds a writable descriptor or mapping of a file any more, then renames. Parent only; blocks.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "dataplane/vmhost/priv/privop.h"

struct err;
struct store;

int store_open(struct store **out, const char *state_dir, struct err *e) must_check;
void store_free(struct store *s); /* NULL is fine */

int store_begin(struct store *s, const char *snap, struct err *e) must_check;
/* size: of the memory file. The descriptor is readable and writable, of a state file writable only. */
int store_create(struct store *s, enum priv_kind kind, const char *name, enum priv_file file, uint64_t size, int *fd, struct err *e) must_check;
int store_commit(struct store *s, enum priv_kind kind, const char *name, struct err *e) must_check;
int store_remove(struct store *s, enum priv_kind kind, const char *name, bool unfinished, struct err *e) must_check;
/* flags: O_RDONLY, or O_RDWR of an unfinished object. A new open file description each time (image locks belong to it). */
int store_file(struct store *s, enum priv_kind kind, const char *name, enum priv_file file, bool unfinished, int flags, int *fd,
               struct err *e) must_check;
/* Names of finished objects after skipping some; returns how many. */
int store_list(struct store *s, enum priv_kind kind, uint32_t skip, char names[PRIV_LIST_MAX][PRIV_HASH_SIZE], struct err *e) must_check;
