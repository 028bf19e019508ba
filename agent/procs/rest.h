/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* rest - the public routes of processes: list, one, end, signal. */
#include "common/http/route.h"

struct json_writer;
struct proc;

extern const struct route procs_routes[];
void proc_write(struct json_writer *w, const struct proc *p); /* an object */
