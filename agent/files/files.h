/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * files - the public routes of files and directories. The agent itself touches no file of a user: every request is handed to a helper
 * process that has that user's ids and groups (pool.h), so the kernel decides what is allowed, as it would in that user's shell.
 */
#include "common/http/route.h"

extern const struct route files_routes[];
