/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* file - whole-file reading and durable, atomic writing. These block: not on a loop thread for large or shared files. */
#include <stddef.h>
#include <sys/types.h>
#include "common/base/attr.h"

struct buf;
struct err;

int file_read(const char *path, size_t bytes_max, struct buf *out, struct err *e) must_check;
/* Temp file in the same folder, fsync, rename, fsync of the folder. */
int file_write_atomic(const char *path, const void *p, size_t len, mode_t mode, struct err *e) must_check;
int fd_write_all(int fd, const void *p, size_t len) must_check;
int fd_read_all(int fd, void *p, size_t len) must_check; /* -EPIPE at an early end */
int dir_make_parents(const char *path, mode_t mode, struct err *e) must_check; /* mkdir -p of path itself */
int dir_fsync(const char *path) must_check;
int fd_set_nonblock(int fd) must_check;
