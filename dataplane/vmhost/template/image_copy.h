/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* image_copy - takes an image file into the store: copies it by reference where the file system can, proves its checksum. Blocks. */
#include "common/base/attr.h"

struct err;

/* to: an empty file, readable and writable. -EBADMSG: the checksum differs. Durable when it returns. */
int image_copy(const char *dir, const char *name, const char *sha256, int to, struct err *e) must_check;
