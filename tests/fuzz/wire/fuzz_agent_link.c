/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_agent_link - any bytes as a stream of link messages: what decodes encodes to the same bytes, JSON bodies decode or are refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wire/agent_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static const struct json_table *body_table(const struct link_msg *m)
{
    switch (m->type) {
    case LINK_START:
        return &link_start_table;
    case LINK_RESULT:
        return &link_result_table;
    case LINK_SIGNAL:
        return &link_signal_table;
    case LINK_FRAME:
        return m->kind == LINK_STARTED ? &link_started_table : m->kind == LINK_EXIT ? &link_exit_table : NULL;
    default:
        return NULL;
    }
}

static void check_body(const struct link_msg *m)
{
    const struct json_table *t = body_table(m);
    struct arena *a = arena_new(0);
    union {
        struct link_start start;
        struct link_result result;
        struct link_signal sig;
        struct link_started started;
        struct link_exit end;
    } out;

    if (t)
        (void) !json_decode(t, m->data, m->data_len, a, &out, NULL); /* hostile: either way is fine */
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf again = BUF_INIT(0);
    struct link_msg m;
    size_t used;

    while (link_decode(data, size, &m, &used) == LINK_E_OK) {
        check(used >= 5 && used <= size && used <= 4 + LINK_MESSAGE_MAX);
        check(m.data_len == 0 || (m.data >= data && m.data + m.data_len <= data + used));
        buf_clear(&again);
        check(link_encode(&again, &m) == 0);
        check(again.len == used && memcmp(buf_data(&again), data, used) == 0);
        check_body(&m);
        data += used;
        size -= used;
    }
    buf_deinit(&again);
    return 0;
}
