/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_wire_json - the JSON messages of common/wire. The first byte picks the message; what decodes is written and must
 * decode to what is written the same again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wire/agent_init.h"
#include "common/wire/agent_link.h"
#include "common/wire/gate_link.h"
#include "common/wire/host_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WRITER(name, type)                                                                         \
    static int fuzz_##name(struct buf *out, const void *m)                                         \
    {                                                                                              \
        return name(out, (const type *) m);                                                        \
    }
WRITER(gate_msg_write, struct gate_msg)
WRITER(host_vm_spec_write, struct host_vm_spec)
WRITER(host_vm_write, struct host_vm)
WRITER(host_vm_reply_write, struct host_vm)
WRITER(host_heartbeat_write, struct host_heartbeat)
WRITER(host_heartbeat_reply_write, struct host_heartbeat_reply)
WRITER(host_deadline_write, struct host_deadline)
WRITER(agent_init_write, struct agent_init)
WRITER(agent_init_result_write, struct agent_init_result)
WRITER(link_write_start, struct link_start)
WRITER(link_write_result, struct link_result)
WRITER(link_write_signal, struct link_signal)
WRITER(link_write_started, struct link_started)
WRITER(link_write_exit, struct link_exit)

static const struct {
    const struct json_table *table;
    int (*write)(struct buf *out, const void *m);
} messages[] = {
    {&gate_msg_table, fuzz_gate_msg_write},
    {&host_vm_spec_table, fuzz_host_vm_spec_write},
    {&host_vm_table, fuzz_host_vm_write},
    {&host_vm_reply_table, fuzz_host_vm_reply_write},
    {&host_heartbeat_table, fuzz_host_heartbeat_write},
    {&host_heartbeat_reply_table, fuzz_host_heartbeat_reply_write},
    {&host_deadline_table, fuzz_host_deadline_write},
    {&agent_init_table, fuzz_agent_init_write},
    {&agent_init_result_table, fuzz_agent_init_result_write},
    {&link_start_table, fuzz_link_write_start},
    {&link_result_table, fuzz_link_write_result},
    {&link_signal_table, fuzz_link_write_signal},
    {&link_started_table, fuzz_link_write_started},
    {&link_exit_table, fuzz_link_write_exit},
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void write_again(size_t which, const uint8_t *data, size_t size, struct arena *a, struct buf *out)
{
    void *m = arena_alloc(a, messages[which].table->size);
    struct err e = ERR_INIT;
    enum gate_type type;

    check(m && json_decode(messages[which].table, data, size, a, m, &e) == 0);
    check(messages[which].write(out, m) == 0);
    if (messages[which].table == &gate_msg_table)
        (void) !gate_msg_type(m, &type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t which = data[0] % ARRAY_LEN(messages);
    struct arena *a = arena_new(16 * MIB);
    struct buf once = BUF_INIT(0), twice = BUF_INIT(0);
    void *m = arena_alloc(a, messages[which].table->size);

    check(m);
    if (json_decode(messages[which].table, data + 1, size - 1, a, m, NULL) == 0 && messages[which].write(&once, m) == 0) {
        write_again(which, buf_data(&once), once.len, a, &twice);
        check(once.len == twice.len && memcmp(buf_data(&once), buf_data(&twice), once.len) == 0);
    }
    buf_deinit(&once);
    buf_deinit(&twice);
    arena_free(a);
    return 0;
}
