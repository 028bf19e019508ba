/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* config - the keys of bivouac-control's configuration file. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/config/config.h"

struct err;

struct control_config {
    const char *log_level;
    /* listeners */
    const char *public_listen, *public_tls_cert, *public_tls_key;
    const char *host_listen, *admin_listen;
    const char *tls_cert, *tls_key, *tls_ca;
    /* database */
    const char *database_url_file;
    int64_t db_conns, db_queue, db_wait_ms, db_statement_ms;
    /* secrets */
    const char *session_kid, *session_key_file, *data_keys_file;
    /* names that are handed out */
    const char *domain, *url_scheme;
    int64_t data_plane_port;
    /* sandboxes */
    const char *default_template;
    int64_t default_timeout_s, max_timeout_s;
    const char *allowed_cpus;
    int64_t default_cpu_count, default_memory_mb, memory_min_mb, memory_max_mb, memory_increment_mb;
    const char *price_currency;
    int64_t price_vcpu_hour_micros, price_memory_gib_hour_micros, price_storage_gib_month_micros;
    /* time */
    int64_t create_ms, host_call_ms, host_start_ms, heartbeat_fresh_ms, missing_grace_ms,
        deadline_grace_ms;
    int64_t idempotency_keep_s;
};

extern const struct config_table control_config_table;

enum { CONFIG_CPUS_MAX = 16 };
/* The sizes of allowed_cpus ("1 2 4"); -EINVAL. */
int config_allowed_cpus(const struct control_config *c, int64_t out[CONFIG_CPUS_MAX],
                        unsigned *count, struct err *e) must_check;
/* What the table cannot say: pairs of keys that belong together. */
int config_check(const struct control_config *c, struct err *e) must_check;
