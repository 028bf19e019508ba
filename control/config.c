/* SPDX-License-Identifier: Apache-2.0 */
/* config - see config.h. */
#include "control/config.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define TEXT(key, fallback_, help_)                                                                \
    {                                                                                              \
        .name = #key, .type = CONFIG_STRING, .offset = offsetof(struct control_config, key),       \
        .fallback = fallback_, .help = help_                                                       \
    }
#define FILE_PATH(key, fallback_, help_)                                                           \
    {                                                                                              \
        .name = #key, .type = CONFIG_PATH, .offset = offsetof(struct control_config, key),         \
        .fallback = fallback_, .help = help_                                                       \
    }
#define ADDR(key, type_, fallback_, help_)                                                         \
    {                                                                                              \
        .name = #key, .type = type_, .offset = offsetof(struct control_config, key),               \
        .fallback = fallback_, .help = help_                                                       \
    }
#define NUMBER(key, fallback_, min_, max_, help_)                                                  \
    {                                                                                              \
        .name = #key, .type = CONFIG_INT, .offset = offsetof(struct control_config, key),          \
        .fallback = fallback_, .min = min_, .max = max_, .help = help_                             \
    }

static const struct config_key control_keys[] = {
    TEXT(log_level, "info", "Least level that is logged: debug, info, warn or error."),

    ADDR(public_listen, CONFIG_ADDRS, "127.0.0.1:8080",
         "Addresses of the public API, several with spaces between."),
    FILE_PATH(
        public_tls_cert, "",
        "Certificate chain (PEM) of the public API; empty: plain HTTP, for a proxy in front."),
    FILE_PATH(public_tls_key, "", "Private key (PEM) that belongs to public_tls_cert."),
    ADDR(host_listen, CONFIG_ADDRS, "127.0.0.1:8443",
         "Addresses where hosts report, with TLS in both directions."),
    ADDR(admin_listen, CONFIG_ADDR, "127.0.0.1:9090",
         "Address of GET /health and GET /metrics; keep it on loopback."),
    FILE_PATH(tls_cert, NULL,
              "Certificate chain (PEM) towards hosts, common name bivouac-control."),
    FILE_PATH(tls_key, NULL, "Private key (PEM) that belongs to tls_cert."),
    FILE_PATH(tls_ca, NULL,
              "Certificate (PEM) of the fleet's private authority, which signs hosts and control."),

    FILE_PATH(database_url_file, NULL,
              "Secret file with postgresql://user:password@address:port/database; the address is "
              "an IP address, or the folder of a "
              "unix socket in the form host=/run/postgresql user=.. dbname=.."),
    NUMBER(db_conns, "8", 1, 64, "Most connections to PostgreSQL at once."),
    NUMBER(db_queue, "512", 1, 100000,
           "Most transactions that wait for a connection; beyond them requests get 503."),
    NUMBER(db_wait_ms, "2000", 10, 60000,
           "Longest wait for a connection before a request gets 503."),
    NUMBER(db_statement_ms, "10000", 100, 600000, "Longest time of one transaction."),

    TEXT(session_kid, NULL,
         "Id of the key that signs sessions; gateways know its public half by that name."),
    FILE_PATH(session_key_file, NULL,
              "Private P-256 key (PEM) that signs sessions. Only control has it."),
    FILE_PATH(data_keys_file, NULL,
              "Keys that encrypt environment values at rest: lines of an id and 64 hex digits, the "
              "first one encrypts, all decrypt."),

    TEXT(domain, "localhost", "Sandboxes live below sandbox.<domain>."),
    TEXT(url_scheme, "https",
         "Scheme of the data plane's URLs that are handed out: https or http."),
    NUMBER(data_plane_port, "0", 0, 65535,
           "Port of the data plane's URLs that are handed out; 0: the scheme's own."),

    TEXT(default_template, "base", "Template of sandboxes that name none."),
    NUMBER(default_timeout_s, "300", 1, 31536000, "Timeout of sandboxes that name none."),
    NUMBER(max_timeout_s, "86400", 1, 31536000, "Longest timeout that may be asked for."),
    TEXT(allowed_cpus, "1 2 4 8", "vCPU counts that sandboxes may have, with spaces between."),
    NUMBER(default_cpu_count, "2", 1, 1024, "vCPUs of new template baselines that name none."),
    NUMBER(default_memory_mb, "1024", 128, 1048576,
           "Memory of new template baselines that name none."),
    NUMBER(memory_min_mb, "512", 128, 1048576, "Least memory of a sandbox."),
    NUMBER(memory_max_mb, "16384", 128, 1048576, "Most memory of a sandbox."),
    NUMBER(memory_increment_mb, "512", 1, 1048576, "Memory comes in multiples of it."),
    TEXT(price_currency, "USD", "Currency of the prices that sandbox_limits shows."),
    NUMBER(price_vcpu_hour_micros, "0", 0, 1000000000000,
           "Price of one vCPU for an hour, in millionths of the currency."),
    NUMBER(price_memory_gib_hour_micros, "0", 0, 1000000000000,
           "Price of 1 GiB of memory for an hour, in millionths."),
    NUMBER(price_storage_gib_month_micros, "0", 0, 1000000000000,
           "Price of 1 GiB of storage for a month, in millionths."),

    NUMBER(create_ms, "140000", 1000, 600000,
           "Longest time of a create, from the request to its answer."),
    NUMBER(host_start_ms, "60000", 1000, 600000,
           "Longest time that a host gets to start one sandbox."),
    NUMBER(host_call_ms, "10000", 100, 600000, "Longest time of any other call to a host."),
    NUMBER(heartbeat_fresh_ms, "10000", 1000, 600000,
           "A host that was silent for longer gets no new sandboxes."),
    NUMBER(missing_grace_ms, "10000", 1000, 600000,
           "A ready sandbox that its host's reports do not show for that long has failed."),
    NUMBER(
        deadline_grace_ms, "5000", 0, 600000,
        "A sandbox whose deadline has passed for that long is ended here, whatever its host says."),
    NUMBER(idempotency_keep_s, "86400", 60, 2592000,
           "How long the answer to an Idempotency-Key is kept."),
    {0},
};

const struct config_table control_config_table = {
    .program = "bivouac-control",
    .keys = control_keys,
    .size = sizeof(struct control_config),
};

int config_allowed_cpus(const struct control_config *c, int64_t out[CONFIG_CPUS_MAX],
                        unsigned *count, struct err *e)
{
    const char *p = c->allowed_cpus;
    unsigned n = 0;

    for (p += strspn(p, " "); *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        uint64_t v;

        if (n == CONFIG_CPUS_MAX)
            return err_set(e, -EINVAL, "allowed_cpus: at most %d sizes", CONFIG_CPUS_MAX);
        if (str_to_u64_n(p, len, 10, &v) < 0 || v < 1 || v > 1024)
            return err_set(e, -EINVAL, "allowed_cpus: each must be 1..1024");
        out[n++] = (int64_t)v;
        p += len;
    }
    if (n == 0)
        return err_set(e, -EINVAL, "allowed_cpus: name at least one size");
    *count = n;
    return 0;
}

int config_check(const struct control_config *c, struct err *e)
{
    int64_t cpus[CONFIG_CPUS_MAX];
    enum log_level level;
    unsigned count;

    if (log_level_parse(c->log_level, &level) < 0)
        return err_set(e, -EINVAL, "log_level: must be debug, info, warn or error");
    if (!*c->public_tls_cert != !*c->public_tls_key)
        return err_set(e, -EINVAL, "public_tls_cert and public_tls_key: give both or none");
    if (!str_eq(c->url_scheme, "https") && !str_eq(c->url_scheme, "http"))
        return err_set(e, -EINVAL, "url_scheme: must be https or http");
    if (c->default_timeout_s > c->max_timeout_s)
        return err_set(e, -EINVAL, "default_timeout_s: must not be above max_timeout_s");
    if (c->memory_min_mb > c->memory_max_mb)
        return err_set(e, -EINVAL, "memory_min_mb: must not be above memory_max_mb");
    if (c->host_start_ms > c->create_ms)
        return err_set(e, -EINVAL, "host_start_ms: must not be above create_ms");
    return config_allowed_cpus(c, cpus, &count, e);
}
