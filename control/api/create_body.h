/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * create_body - the body of POST /v1/sandboxes in all its spellings, checked as far as it can be
 * without the database. Members whose function does not exist yet are refused by name, never
 * ignored.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/json/json.h"
#include "control/api/errors.h"

struct arena;
struct control_config;

struct network_body {
    bool has_internet, internet;
    bool has_public, public_traffic;
    bool has_registry, registry;
    struct json_strings allow_out, deny_out;
    const struct json *egress_profile, *egress_profiles, *network_class, *rules, *mask_request_host;
};
struct lifecycle_body {
    char *on_timeout;
    bool has_auto_resume, auto_resume;
};
struct create_body {
    char *template_ref, *version_id, *checkpoint_id;
    char *team, *name, *init;
    bool has_timeout, has_cpu, has_memory, has_lifecycle;
    int64_t timeout, cpu, memory_mb;
    struct lifecycle_body lifecycle;
    bool auto_pause, keep_hot;
    struct json_map metadata, env;
    const struct json *volume_mounts, *new_volumes, *mcp;
    struct network_body network;        /* members beside the others */
    struct network_body network_nested; /* "network": {..} */
};
extern const struct json_table create_body_table;

/* What is wrong with a body: the field, the kind of error and words. */
struct body_error {
    enum api_error error;
    const char *field;
    char text[200];
};
/* Answers false and fills *e when something is. Sets lifecycle.on_timeout, timeout. */
bool create_body_check(struct create_body *b, const struct control_config *conf,
                       struct body_error *e) must_check;

/* Parts that PATCH shares. */
bool body_check_name(const char *name, struct body_error *e) must_check;
bool body_check_metadata(const struct json_map *m, struct body_error *e) must_check;
bool body_check_lifecycle(const struct lifecycle_body *l, struct body_error *e) must_check;
/* A JSON object of the map's pairs; NULL: the arena is full. */
char *body_map_json(const struct json_map *m, struct arena *a) must_check;
/* The network object as it is stored and shown. */
char *body_network_json(const struct create_body *b, struct arena *a) must_check;
extern const struct json_table lifecycle_body_table;
