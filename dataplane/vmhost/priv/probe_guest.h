/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * probe_guest - an initramfs whose /init is a program of a few bytes: it writes PROBE_GUEST_TEXT to the console and restarts the machine.
 * That the text arrives proves that kernel and user space run on this machine's accelerator.
 */
#include "common/base/attr.h"

struct buf;

#define PROBE_GUEST_TEXT "bivouac-probe-ok"
int probe_guest_build(struct buf *out) must_check;
