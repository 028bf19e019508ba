/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* app - what the parts of the unprivileged child share. Everything is borrowed; child.c owns it. */
#include <stdbool.h>
#include <stdint.h>
#include "dataplane/vmhost/priv/privop.h"

struct conf;
struct gate;
struct loop;
struct pool;
struct priv;
struct templates;
struct tombs;
struct vms;

struct host {
    struct loop *loop;
    const struct conf *conf;
    struct priv *priv;
    struct pool *pool;
    struct templates *templates;
    struct vms *vms;
    struct gate *gate;         /* NULL in the selftest */
    char name[64];             /* of the host */
    char qemu_version[32], qemu_series[16];
    bool accel_known;          /* the probe has ended */
    enum priv_accel accel;
    unsigned cpu_model;        /* index of privop_cpu_name() */
    bool draining;             /* control said so: no new VMs */
    void (*on_vms_changed)(void *arg); /* a VM ended by itself: tell control now */
    void *on_vms_changed_arg;
};
