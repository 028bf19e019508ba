/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* config - the keys of gateway.json. */
#include <stdbool.h>
#include <stdint.h>
#include "common/config/config.h"

struct gateway_conf {
    const char *public_listen, *admin_listen;
    const char *domain;
    const char *tls_cert, *tls_key;
    const char *redis_addr, *redis_password_file;
    const char *gate_socket;
    const char *session_keys_dir;
    const char *log_level;
    bool access_log;
    int64_t workers;
    int64_t retention_bytes, retention_after_exit_s, tombstone_s, sandbox_retention_bytes;
    int64_t conns_max, conns_per_peer_max, sandbox_requests_max;
    int64_t pending_sandbox_bytes, pending_total_bytes, watcher_queue_bytes;
    int64_t watchers_per_process_max, processes_per_sandbox_max;
    int64_t agent_deadline_ms, connect_deadline_ms, first_message_s, drain_ms;
};
extern const struct config_table gateway_config;
