/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conf - settings of bivouac-vmhost, one JSON file. The parent reads the file and hands the same bytes to its child.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/config/config.h"

struct err;

struct conf {
    const char *instance;   /* part of every name this host service makes on the machine */
    const char *host_name;
    const char *state_dir, *images_dir, *run_dir;
    const char *listen, *tls_cert, *tls_key, *tls_ca, *control_cn;
    const char *admin_listen;
    const char *gate_socket;
    int64_t gateway_uid;
    const char *control_addr, *control_name, *host_token_file;
    const char *host_api_url, *gateway_url;
    int64_t heartbeat_ms;
    int64_t child_uid, uid_base;
    int64_t max_vms, memory_mb, memory_pct, vcpus, vcpu_pct;
    int64_t pool_slots;
    const char *accelerator, *cpu_model, *qemu, *shim;
    int64_t template_boot_s, disk_full_pct;
    const char *log_level;
};

extern const struct config_table conf_table;

/* What a table of single keys cannot say: names that become paths, keys that belong together. */
int conf_check(const struct conf *c, struct err *e) must_check;
int conf_check_service(const struct conf *c, struct err *e) must_check; /* what only the service needs, not the selftest */
