/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * qemu_argv - the whole command line of a QEMU from typed fields. No text of the child gets in but a name of safe characters and, for
 * modes that boot a kernel, the kernel command line, which goes into a config file by descriptor: it bears a token, and a process' argv
 * can be read by everyone on the machine.
 *
 * The devices, their addresses and the machine are what a snapshot fits to: a change here needs a new QEMU_DEVICE_SET.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "dataplane/vmhost/priv/privop.h"

struct buf;

#define QEMU_MACHINE "pc-i440fx-7.2"
#define QEMU_DEVICE_SET "i440fx/1: serial net@3 blk@4 rng@5 scsi@6 vnet_hdr" /* part of the fingerprint */

/* Where each descriptor is in the QEMU process. */
enum qemu_fd {
    QEMU_FD_QMP = 3,
    QEMU_FD_TAP,
    QEMU_FD_RAM,
    QEMU_FD_STATE,
    QEMU_FD_ROOTFS,
    QEMU_FD_SNAP_DISK,
    QEMU_FD_DISK,
    QEMU_FD_CONSOLE,
    QEMU_FD_CONFIG,
    QEMU_FD_KERNEL,
    QEMU_FD_INITRD,
    QEMU_FD_END,
};

struct qemu_spec {
    const char *program;
    const char *name;
    enum priv_mode mode;
    enum priv_accel accel;
    const char *cpu_model;
    unsigned cpu_count, memory_mb;
    const char *cmdline; /* for the config file */
};

enum { QEMU_ARGS_MAX = 80, QEMU_ARG_SIZE = 192, QEMU_CONFIG_MAX = 2048 };
struct qemu_argv {
    char *argv[QEMU_ARGS_MAX + 1];
    char text[QEMU_ARGS_MAX][QEMU_ARG_SIZE];
    unsigned count;
};
void qemu_argv_build(const struct qemu_spec *s, struct qemu_argv *out);
/* For modes that boot: the text behind QEMU_FD_CONFIG. */
int qemu_config_build(const struct qemu_spec *s, struct buf *out) must_check;
