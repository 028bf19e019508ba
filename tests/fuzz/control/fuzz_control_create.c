/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_control_create - any bytes as the body of a create: refused with a field and words, or made
 * into what is stored. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "control/api/create_body.h"
#include "control/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stored(const char *json)
{
    struct json_doc *doc = NULL;

    if (!json)
        return; /* larger than what is kept */
    assert(json_parse(&doc, json, strlen(json), NULL) == 0);
    assert(json_type(json_root(doc)) == JSON_OBJECT);
    json_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(16 * MIB);
    struct control_config conf;
    struct json_doc *doc = NULL;
    struct create_body b;
    struct body_error e = {0};
    struct err err = ERR_INIT;

    assert(config_defaults(&control_config_table, a, &conf, NULL) == 0);
    if (json_parse(&doc, data, size, &err) == 0) {
        if (json_decode_tree(&create_body_table, json_root(doc), a, &b, &err) < 0) {
            assert(err.text[0]);
        } else if (!create_body_check(&b, &conf, &e)) {
            assert(e.field && e.field[0] && e.text[0] && api_errors[e.error].status == 422);
        } else {
            assert(b.timeout >= 1 && b.timeout <= conf.max_timeout_s);
            assert(str_eq(b.lifecycle.on_timeout, "kill"));
            check_stored(body_map_json(&b.metadata, a));
            check_stored(body_map_json(&b.env, a));
            check_stored(body_network_json(&b, a));
        }
    }
    json_doc_free(doc);
    arena_free(a);
    return 0;
}
