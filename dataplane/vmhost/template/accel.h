/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * accel - which accelerator the guests of this host run on. A /dev/kvm that opens may still not run a stock kernel, so "auto" and "kvm" boot
 * the kernel of a template with a tiny initramfs, in a cell of its own and with a deadline; the answer is kept until the next boot of the host.
 */
#include "common/base/attr.h"

struct accel_probe;
struct err;
struct host;

/* r: 0 with host->accel and host->cpu_model set; -ENOENT: no image to boot yet; else the reason why "kvm" cannot be. */
typedef void accel_done_fn(void *arg, int r, const struct err *e);
int accel_find(struct accel_probe **out, struct host *h, accel_done_fn *done, void *arg) must_check;
void accel_drop(struct accel_probe *p); /* the process ends; NULL is fine */

/* A named model that this CPU has; flags: the words of /proc/cpuinfo. */
const char *accel_pick_cpu(const char *vendor, const char *flags);
