/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * boot - from the initramfs to a machine: modules, the root disk, mounts, network, groups. Runs once, before the loop, as PID 1; it may
 * block. Every step is a line on the console; a step that fails is told with its reason.
 */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/attr.h"
#include "common/base/secret.h"

struct err;

/* token: the boot token of the kernel command line, which nobody can read there any more afterwards. */
int boot_run(struct secret *token, struct err *e) must_check;

/* ---- the steps, by file ---- */
int boot_mount_early(struct err *e) must_check;   /* mounts.c: /proc /sys /dev of the initramfs, and a log that works */
int boot_mount_rest(struct err *e) must_check;    /* mounts.c: /run /dev/pts ... of the new root */
int boot_load_modules(struct err *e) must_check;  /* modules.c */
int boot_enter_root(struct err *e) must_check;    /* root.c */
int boot_name(struct err *e) must_check;          /* name.c */
int boot_network(struct err *e) must_check;       /* network.c */
int boot_settings(struct err *e) must_check;      /* settings.c: sysctls, power commands, device modes */

/* cmdline.c */
enum { BOOT_TOKEN_LEN = 64, BOOT_CMDLINE_MAX = 4096 };
/*
 * The value of bivouac.boot goes to token (left empty without one), the rest of the line to `out`, without it.
 * `out` has room for strlen(line) + 1.
 */
void cmdline_take_token(const char *line, struct secret *token, char *out);
/* The value of a parameter, copied to out; false when absent or too long. */
bool cmdline_get(const char *line, const char *name, char *out, size_t size);
int boot_read_cmdline(char out[BOOT_CMDLINE_MAX], struct err *e) must_check;
int boot_take_token(struct secret *token, struct err *e) must_check; /* and hides it from /proc/cmdline */
