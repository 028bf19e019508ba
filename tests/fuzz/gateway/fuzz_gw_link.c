/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_gw_link - a hostile agent against the process streams: the input is a list of steps, some of which are bytes on the link (through
 * the real decoder), others what store, link and time do meanwhile. Whatever happens, what is stored is contiguous but for told gaps.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"
#include "common/loop/loop.h"
#include "common/wire/gate_link.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/streams.h"
#include "tests/unit/dataplane/gateway/stream/fake_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_sandbox(void *arg, struct sandbox *sb)
{
    (void) arg;
    (void) sb;
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
    (void) sb;
    (void) reason;
}

static void tick_all(struct streams *s)
{
    struct map_iter it = MAP_ITER_INIT;
    struct pstream *p;

    while ((p = map_next(s->procs, &it, NULL))) {
        if (!pstream_tick(p)) {
            map_del(s->procs, p->pid);
            pstream_free(p);
        }
    }
}

/* One step; returns how many bytes of the input it took. */
static size_t step(struct streams *s, struct loop *l, const uint8_t *data, size_t size)
{
    size_t used = 1, len;

    switch (data[0] % 8) {
    case 0:
        fake_store_answer(1);
        break;
    case 1:
        fake_store_answer(100);
        break;
    case 2:
        tick_all(s);
        break;
    case 3:
        if (fake_link_is_up())
            fake_link_down(s);
        else
            fake_link_up(s);
        break;
    case 4:
        fake_store_down(s);
        fake_store_up(s, data[0] >> 6);
        break;
    default: /* bytes: their count follows */
        len = size > 2 ? data[1] | (size_t) data[2] << 8 : 0;
        used = size > 2 ? 3 : size;
        if (len > size - used)
            len = size - used;
        if (fake_link_is_up() && !fake_link_paused() && fake_link_say(s, data + used, len) < 0)
            fake_link_down(s);
        used += len;
    }
    (void) !loop_turn(l, 0);
    return used;
}

static struct sandbox_table *route_one(void)
{
    static const struct sandbox_table_ops ops = {on_sandbox, on_changed, on_gone};
    struct gate_msg m = {.t = (char *) "route", .id = (char *) "1", .rt = (char *) "aaaaaaaaaaaaaaaaaaaaaaaa", .generation = 1,
                         .state = (char *) "running",
                         .agent_token = (char *) "1111111111111111111111111111111111111111111111111111111111111111"};
    struct sandbox_table *t = sandbox_table_new(&ops, NULL);

    if (sandbox_table_route(t, &m) < 0)
        abort();
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream_env env = {.workers = 1, .limits = {.retention_bytes = 65536, .sandbox_retention_bytes = 1 << 20, .frames_ttl_ms = 1000,
                                                      .proc_ttl_ms = 1000, .sandbox_pending_bytes = 65536, .total_pending_bytes = 1 << 20,
                                                      .watchers_per_process = 4, .processes_per_sandbox = 4}};
    struct sandbox_table *t = route_one();
    struct streams *s;

    if (loop_new(&env.loop) < 0)
        abort();
    list_init(&env.all);
    list_init(&env.sessions);
    fake_store_reset();
    fake_link_reset();
    s = streams_new(&env, sandbox_by_rt(t, "aaaaaaaaaaaaaaaaaaaaaaaa"), NULL);
    fake_link_up(s);
    for (unsigned steps = 0; size > 0 && steps < 500; steps++) {
        size_t used = step(s, env.loop, data, size);

        data += used;
        size -= used;
        if (s->pending_bytes > 65536 + 2 * LINK_MESSAGE_MAX || map_count(s->procs) > 4)
            abort();
    }
    fake_store_reset();
    streams_free(s);
    sandbox_table_free(t);
    (void) !loop_turn(env.loop, 0);
    loop_free(env.loop);
    fake_store_reset();
    fake_link_reset();
    return 0;
}
