/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_gw_gate - packets of vmhost, one a line, through the decoder into the table of sandboxes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/gate_link.h"
#include "dataplane/gateway/gate/gate.h"
#include "dataplane/gateway/routes/sandbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned living;

static void on_added(void *arg, struct sandbox *sb)
{
    (void) arg;
    living++;
    if (strlen(sb->rt) < LABEL_TOKEN_MIN || sb->agent_token.len != 64)
        abort();
}

static void on_changed(void *arg, struct sandbox *sb, bool restarted)
{
    (void) arg;
    (void) sb;
    (void) restarted;
}

static void on_gone(void *arg, struct sandbox *sb, const char *reason)
{
    (void) arg;
    living--;
    if (!sb->gone || !reason)
        abort();
}

static int on_message(void *arg, const struct gate_msg *m, int type)
{
    struct sandbox_table *t = arg;

    switch ((enum gate_type) type) {
    case GATE_HELLO:
        sandbox_table_sync_begin(t);
        break;
    case GATE_ROUTE:
        if (sandbox_table_route(t, m) == 0 && !sandbox_by_rt(t, m->rt))
            abort();
        break;
    case GATE_GONE:
        sandbox_table_gone(t, m);
        break;
    case GATE_SYNCED:
        sandbox_table_sync_end(t);
        break;
    case GATE_CONNECT:
    case GATE_CONNECTED:
        break;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sandbox_table_ops ops = {on_added, on_changed, on_gone};
    struct sandbox_table *t = sandbox_table_new(&ops, NULL);

    living = 0;
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t len = end ? (size_t) (end - data) : size;

        (void) !gate_decode(data, len, on_message, t);
        data += end ? len + 1 : len;
        size -= end ? len + 1 : len;
    }
    if (sandbox_table_count(t) != living)
        abort();
    sandbox_table_free(t);
    return 0;
}
