/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * qcow2 - the two things we do to this format ourselves: read how large the guest sees an image, and write an empty overlay (starting
 * qemu-img for it would cost 10 ms a create).
 */
#include <stdint.h>
#include "common/base/attr.h"

struct err;

enum { QCOW2_NAME_MAX = 1023 };

int qcow2_read_size(int fd, uint64_t *virtual_bytes, struct err *e) must_check;
/* fd: an empty file. backing: name for people and tools; QEMU gets the chain by descriptor and never follows it. */
int qcow2_write_overlay(int fd, uint64_t virtual_bytes, const char *backing, struct err *e) must_check;
