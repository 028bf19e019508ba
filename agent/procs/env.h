/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * env - the environment of a process: what every login has (HOME USER LOGNAME SHELL PATH LANG, TERM on a terminal), then the sandbox's,
 * then the request's; later ones win. Values may be secrets: the block is wiped when it is freed.
 */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/attr.h"

struct json_map;
struct user;

#define ENV_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct env {
    char **items; /* owned; ends with NULL: for execve() */
    size_t count;
};

enum { ENV_E_OK, ENV_E_BAD_NAME };

/* sandbox and request may be NULL. A name that is empty or holds '=' is refused; *bad (may be NULL) borrows it. */
int env_build(struct env *out, const struct user *u, bool terminal, const struct json_map *sandbox, const struct json_map *request,
              const char **bad) must_check;
const char *env_get(const struct env *e, const char *name); /* NULL when absent */
void env_deinit(struct env *e);

/* The sandbox's own variables, which init brings. */
void env_map_wipe(struct json_map *m); /* of one made by env_map_copy() */
void env_map_copy(struct json_map *out, const struct json_map *m);
int env_map_check(const struct json_map *m, const char **bad) must_check; /* ENV_E_* */
