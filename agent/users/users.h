/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * users - who is who in the guest, by /etc/passwd and /etc/group alone. No name service: a static program would load the guest's.
 * The files belong to the guest: size, kind and every line are checked; a line that is not well-formed is skipped.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "common/base/attr.h"
#include "common/base/buf.h"

struct err;

enum { USERS_FILE_BYTES_MAX = 4 * MIB, USERS_GROUPS_MAX = 256 };

struct user {
    char *name, *home, *shell; /* owned */
    uid_t uid;
    gid_t gid;
    gid_t groups[USERS_GROUPS_MAX]; /* gid is the first */
    size_t group_count;
};

enum { USER_E_OK, USER_E_UNKNOWN };

/* By name, or by a decimal uid that has an entry. Reads both files anew. */
int user_find(struct user *out, const char *name, struct err *e) must_check;
/* The same on texts that are already read; -EINVAL never: what cannot be read is as absent. */
int user_find_in(struct user *out, const char *name, const struct buf *passwd, const struct buf *group) must_check;
void user_deinit(struct user *u); /* fine on a zeroed one */

/* Names of ids, for listings. Reads the files again when they have changed. */
struct id_names {
    struct buf text;
    long long stamp[4];
    bool by_group;
    bool cached;
    unsigned cached_id;
    char cached_name[64];
};
void id_names_init(struct id_names *n, bool by_group);
void id_names_refresh(struct id_names *n);
/* The name, or the number as text. Valid until the next call. */
const char *id_names_get(struct id_names *n, unsigned id);
void id_names_deinit(struct id_names *n);
