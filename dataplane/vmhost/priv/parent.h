/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * parent - the root process: makes folders, the cell and the control groups, starts the unprivileged child and then does nothing but
 * the operations of privop.h, one after the other, until the child goes. VMs outlive it.
 */
#include "common/base/attr.h"

struct conf;
struct err;

enum parent_task { PARENT_SERVE, PARENT_SELFTEST };

/* Returns the exit code of the service. config_fd: a descriptor with the text of the settings, handed to the child. */
int parent_run(const struct conf *conf, enum parent_task task, unsigned selftest_count, int config_fd);
/* Removes every process, namespace, group, VM and folder of this instance. */
int parent_purge(const struct conf *conf);
