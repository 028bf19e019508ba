/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jail - the root that every QEMU sees: a read-only tmpfs with a read-only /usr, a /proc that shows only its own processes, /dev/null,
 * /dev/urandom (and /dev/kvm), the preload shim, and nothing else. It is a mount namespace made once; a QEMU process enters it, so that
 * no mount is made per VM. Nothing in it can be written, hence sharing it shares nothing. Parent only.
 */
#include <stdbool.h>
#include "common/base/attr.h"

struct err;

#define JAIL_SHIM "/shim.so"

struct jail_conf {
    const char *mount_point; /* an empty folder; nothing is mounted there outside of the new namespace */
    const char *shim;        /* path of the shim to copy */
    bool kvm;                /* give /dev/kvm */
};
/* The descriptor of the mount namespace keeps it alive. */
int jail_open(const struct jail_conf *conf, int *ns, struct err *e) must_check;
