/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * path - paths of clients as text. Any byte but NUL may be in a name. Nothing here decides about rights: the kernel does, under the user's ids.
 */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/attr.h"

/*
 * The absolute path: relative ones begin at `base`; empty and "." components go, ".." stays (what it means depends on symlinks).
 * Owned by the caller. NULL for an empty path.
 */
char *path_absolute(const char *base, const char *path) must_check;
bool path_has_dotdot(const char *path);
/* Whether the client meant a directory: a slash at the end. */
bool path_ends_in_slash(const char *path);
/* The last component of a path made by path_absolute(); "/" for the root. Borrowed. */
const char *path_base(const char *path);
/* The directory of that component, owned by the caller; "/" for the root itself. */
char *path_dir(const char *path) must_check;
/* dir + "/" + name, owned by the caller. */
char *path_join(const char *dir, const char *name) must_check;
