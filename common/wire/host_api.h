/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* host_api - JSON bodies between control and vmhost. docs/architecture.md section 4. */
#include <stdbool.h>
#include <stdint.h>
#include "common/json/json.h"

struct buf;

struct host_template_ref {
    char *slug, *version;
};
struct host_vm_spec { /* PUT /host/v1/vms/{id} */
    uint64_t generation;
    struct host_template_ref template_ref; /* "template" */
    int64_t cpu_count, memory_mb;
    char *route_token, *team, *hostname;
    int64_t deadline_ms;  /* unix ms */
    char *on_timeout;     /* "kill" | "pause" */
    struct json_map env;
};
struct host_timings { /* microseconds */
    int64_t slot, qemu, state, run, init, total;
};
struct host_vm {
    char *id;
    uint64_t generation;
    char *state;       /* creating running stopping gone */
    char *end_reason;  /* NULL while it lives: killed timeout guest_shutdown guest_panic qemu_died failed */
    int64_t started_at_ms, ended_at_ms, deadline_ms;
    int64_t cpu_count, memory_mb;
    struct host_template_ref template_ref;
    bool has_timings;
    struct host_timings timings_us;
};
struct host_template {
    char *slug, *version, *status; /* ready | building | failed */
    char *message;
    int64_t cpu_count, memory_mb;
};
struct host_capacity {
    int64_t vcpus, memory_mb, vms;
};
struct host_disk {
    int64_t bytes_total, bytes_free;
};
struct host_heartbeat { /* POST /internal/v1/heartbeat */
    char *host_api_url, *gateway_url, *version, *accelerator;
    struct host_capacity capacity, used;
    struct host_disk disk;
    struct json_array templates; /* struct host_template */
    struct json_array vms;       /* struct host_vm */
};
struct host_self {
    char *name;
    bool drain;
};
struct host_heartbeat_reply {
    struct host_self host;
    struct json_strings ended_ack;
    int64_t now_ms;
};
struct host_deadline {
    uint64_t generation;
    int64_t deadline_ms;
};
extern const struct json_table host_vm_spec_table, host_vm_table, host_vm_reply_table /* {"vm":{..}} -> struct host_vm */,
    host_heartbeat_table, host_heartbeat_reply_table, host_deadline_table;
int host_vm_spec_write(struct buf *out, const struct host_vm_spec *m) must_check;
int host_vm_write(struct buf *out, const struct host_vm *m) must_check;       /* one object */
int host_vm_reply_write(struct buf *out, const struct host_vm *m) must_check; /* {"vm":{..}} */
int host_heartbeat_write(struct buf *out, const struct host_heartbeat *m) must_check;
int host_heartbeat_reply_write(struct buf *out, const struct host_heartbeat_reply *m) must_check;
int host_deadline_write(struct buf *out, const struct host_deadline *m) must_check;
