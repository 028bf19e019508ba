/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * identity - what makes one machine different from its siblings: entropy, clock, name, machine id. Each step may be repeated.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct buf;
struct err;

int identity_add_entropy(const void *p, size_t len, struct err *e) must_check; /* and has the kernel reseed at once */
int identity_set_clock(int64_t unix_ns, struct err *e) must_check;
int identity_set_hostname(const char *name, struct err *e) must_check; /* the kernel's, /etc/hostname, /etc/hosts */
int identity_set_machine_id(const char *id, struct err *e) must_check;

bool hostname_ok(const char *name);   /* letters, digits, dots and dashes, 1..64 */
bool machine_id_ok(const char *id);   /* 32 lower-case hex digits */
/* The text of /etc/hosts with the machine's own line (127.0.1.1) replaced; all else stays. */
int hosts_rewrite(struct buf *out, const void *old, size_t len, const char *name) must_check;
