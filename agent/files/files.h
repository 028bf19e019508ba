/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * files - the public routes of files and directories. The agent itself touches no file of a user: every request is handed to a helper
 * process that has that user's ids and groups (pool.h), so the kernel decides what is allowed, as it would in that user's shell.
 */
#include "common/http/route.h"

struct file_pool;
struct loop;
struct reaper;

extern const struct route files_routes[];

int file_pool_new(struct file_pool **out, struct loop *l, struct reaper *r, const char *workspace) must_check;
void file_pool_free(struct file_pool *p);
