/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/config.h"

#include <stddef.h>

#define KEY(name_, type_, fallback_, min_, max_, help_)                                            \
    {                                                                                              \
        .name = #name_, .type = type_, .offset = offsetof(struct gateway_conf, name_), .fallback = fallback_, .min = min_,  \
        .max = max_, .help = help_                                                                 \
    }

static const struct config_key gateway_keys[] = {
    KEY(public_listen, CONFIG_ADDRS, "127.0.0.1:8081", 0, 0, "Addresses of the data plane, separated by spaces"),
    KEY(admin_listen, CONFIG_ADDR, "127.0.0.1:9081", 0, 0,
        "Address of /health and /metrics; worker N of several listens N ports above it"),
    KEY(domain, CONFIG_STRING, "localhost", 1, 200, "Sandboxes are served as <route token>.sandbox.<domain>"),
    KEY(tls_cert, CONFIG_PATH, "", 0, 0, "Certificate chain (PEM) for *.sandbox.<domain>; empty: plain HTTP"),
    KEY(tls_key, CONFIG_PATH, "", 0, 0, "Private key (PEM) of tls_cert"),
    KEY(redis_addr, CONFIG_ADDR, "127.0.0.1:6379", 0, 0, "Redis, where process output is kept"),
    KEY(redis_password_file, CONFIG_PATH, "", 0, 0, "File with the password of Redis; empty: none"),
    KEY(gate_socket, CONFIG_PATH, "/run/bivouac-gate/gate.sock", 1, 107, "Socket of this host's vmhost: routes and connections to agents"),
    KEY(session_keys_dir, CONFIG_PATH, "/etc/bivouac/session-keys", 1, 0,
        "Folder with the public keys <kid>.pem of the sessions that control signs; read again on SIGHUP"),
    KEY(log_level, CONFIG_STRING, "info", 1, 8, "debug, info, warn or error"),
    KEY(access_log, CONFIG_BOOL, "true", 0, 0, "One log line for each request"),
    KEY(workers, CONFIG_INT, "1", 1, 64, "Worker processes; each is a complete gateway on the same addresses"),
    KEY(retention_bytes, CONFIG_INT, "8388608", 65536, 1073741824, "Output that is kept of one process"),
    KEY(retention_after_exit_s, CONFIG_INT, "3600", 1, 2592000, "How long output is kept after the exit"),
    KEY(tombstone_s, CONFIG_INT, "86400", 1, 31536000, "How long a process' id and exit are kept after the exit"),
    KEY(sandbox_retention_bytes, CONFIG_INT, "67108864", 1048576, 1099511627776,
        "Output that is kept of all finished processes of one sandbox; running ones share as much again"),
    KEY(conns_max, CONFIG_INT, "10000", 1, 1000000, "Client connections of one worker"),
    KEY(conns_per_peer_max, CONFIG_INT, "0", 0, 1000000, "Client connections from one address; 0: no limit"),
    KEY(sandbox_requests_max, CONFIG_INT, "512", 1, 100000, "Requests and sockets of one sandbox at a time"),
    KEY(pending_sandbox_bytes, CONFIG_INT, "4194304", 65536, 1073741824,
        "Frames of one sandbox that wait for Redis; beyond it its agent is not read"),
    KEY(pending_total_bytes, CONFIG_INT, "134217728", 1048576, 17179869184, "The same for all sandboxes together"),
    KEY(watcher_queue_bytes, CONFIG_INT, "1048576", 65536, 67108864,
        "Output that waits for one slow client; beyond it the client is served from Redis"),
    KEY(watchers_per_process_max, CONFIG_INT, "64", 1, 10000, "Clients that watch one process"),
    KEY(processes_per_sandbox_max, CONFIG_INT, "2000", 1, 100000, "Processes of one sandbox that are followed at a time"),
    KEY(agent_deadline_ms, CONFIG_INT, "10000", 100, 300000, "An agent's time to begin an answer that needs no long work"),
    KEY(connect_deadline_ms, CONFIG_INT, "10000", 100, 60000, "Time to a connection to an agent, vmhost's absence included"),
    KEY(first_message_s, CONFIG_INT, "60", 1, 3600, "A client's time to say what process to start"),
    KEY(drain_ms, CONFIG_INT, "5000", 0, 60000, "Time that requests get to end when the gateway is stopped"),
    {0},
};

const struct config_table gateway_config = {
    .program = "bivouac-gateway", .keys = gateway_keys, .size = sizeof(struct gateway_conf)};
