/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/routes/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/wire/agent_init.h"
#include "common/wire/gate_link.h"

struct sandbox_table {
    struct map *by_id, *by_rt; /* struct sandbox; by_id holds the table's reference */
    struct sandbox_table_ops ops;
    void *arg;
};

struct sandbox_table *sandbox_table_new(const struct sandbox_table_ops *ops, void *arg)
{
    struct sandbox_table *t = xnew(struct sandbox_table);

    t->by_id = map_new();
    t->by_rt = map_new();
    t->ops = *ops;
    t->arg = arg;
    return t;
}

void sandbox_table_free(struct sandbox_table *t)
{
    struct map_iter it = MAP_ITER_INIT;
    struct sandbox *sb;

    if (!t)
        return;
    while ((sb = map_next(t->by_id, &it, NULL)))
        sandbox_unref(sb);
    map_free(t->by_id);
    map_free(t->by_rt);
    free(t);
}

struct sandbox *sandbox_ref(struct sandbox *sb)
{
    sb->refs++;
    return sb;
}

void sandbox_unref(struct sandbox *sb)
{
    if (!sb || --sb->refs > 0)
        return;
    assert(list_empty(&sb->flows));
    secret_deinit(&sb->agent_token);
    free(sb);
}

void sandbox_flow_begin(struct sandbox_flow *f, struct sandbox *sb, void (*cut)(struct sandbox_flow *f))
{
    assert(!sb->gone);
    f->sandbox = sandbox_ref(sb);
    f->cut = cut;
    list_append(&sb->flows, &f->node);
    sb->flow_count++;
}

void sandbox_flow_end(struct sandbox_flow *f)
{
    struct sandbox *sb = f->sandbox;

    if (!sb)
        return;
    f->sandbox = NULL;
    list_del(&f->node);
    sb->flow_count--;
    sandbox_unref(sb);
}

void sandbox_cut_flows(struct sandbox *sb)
{
    while (!list_empty(&sb->flows)) {
        struct sandbox_flow *f = LIST_ENTRY(sb->flows.next, struct sandbox_flow, node);

        f->cut(f);
        assert(sb->flows.next != &f->node);
    }
}

/* ---- routes ---- */

static bool sandbox_id_ok(const char *s)
{
    uint64_t v;

    return strlen(s) <= SANDBOX_ID_MAX && str_to_u64(s, &v) == 0;
}

static bool sandbox_rt_ok(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");

    return n >= LABEL_TOKEN_MIN && n <= LABEL_TOKEN_MAX && s[n] == '\0';
}

static bool sandbox_token_ok(const char *s)
{
    return strlen(s) == AGENT_TOKEN_LEN && strspn(s, "0123456789abcdef") == AGENT_TOKEN_LEN;
}

static struct sandbox *sandbox_add(struct sandbox_table *t, const char *id)
{
    struct sandbox *sb = xnew(struct sandbox);

    str_copy(sb->id, sizeof(sb->id), id);
    list_init(&sb->flows);
    sb->refs = 1;
    map_put(t->by_id, sb->id, sb);
    return sb;
}

static void sandbox_take(struct sandbox_table *t, struct sandbox *sb, const struct gate_msg *m)
{
    if (strcmp(sb->rt, m->rt) != 0) {
        if (sb->rt[0] && map_get(t->by_rt, sb->rt) == sb)
            map_del(t->by_rt, sb->rt);
        str_copy(sb->rt, sizeof(sb->rt), m->rt);
        map_put(t->by_rt, sb->rt, sb);
    }
    sb->generation = m->generation;
    sb->state = strcmp(m->state, "paused") == 0 ? SANDBOX_PAUSED : SANDBOX_RUNNING;
    secret_set(&sb->agent_token, m->agent_token, strlen(m->agent_token));
    str_copy(sb->team, sizeof(sb->team), m->team ? m->team : "");
    sb->seen = true;
}

int sandbox_table_route(struct sandbox_table *t, const struct gate_msg *m)
{
    struct sandbox *sb;
    struct sandbox *holder;
    bool restarted, changed;

    if (!sandbox_id_ok(m->id) || !sandbox_rt_ok(m->rt) || !sandbox_token_ok(m->agent_token))
        return -EINVAL;
    sb = map_get(t->by_id, m->id);
    holder = map_get(t->by_rt, m->rt);
    if (holder && holder != sb)
        return -EEXIST; /* a token belongs to one sandbox */
    if (!sb) {
        sb = sandbox_add(t, m->id);
        sandbox_take(t, sb, m);
        t->ops.on_added(t->arg, sb);
        return 0;
    }
    if (m->generation < sb->generation)
        return -ESTALE;
    restarted = m->generation > sb->generation || !secret_equal(&sb->agent_token, m->agent_token, strlen(m->agent_token));
    changed = restarted || (sb->state == SANDBOX_PAUSED) != (strcmp(m->state, "paused") == 0);
    sandbox_take(t, sb, m);
    if (changed)
        t->ops.on_changed(t->arg, sb, restarted);
    return 0;
}

static void sandbox_end(struct sandbox_table *t, struct sandbox *sb, const char *reason)
{
    sb->gone = true;
    map_del(t->by_id, sb->id);
    if (map_get(t->by_rt, sb->rt) == sb)
        map_del(t->by_rt, sb->rt);
    sandbox_cut_flows(sb);
    t->ops.on_gone(t->arg, sb, reason);
    sandbox_unref(sb);
}

void sandbox_table_gone(struct sandbox_table *t, const struct gate_msg *m)
{
    struct sandbox *sb = map_get(t->by_id, m->id);

    if (sb && m->generation >= sb->generation)
        sandbox_end(t, sb, m->reason);
}

void sandbox_table_sync_begin(struct sandbox_table *t)
{
    struct map_iter it = MAP_ITER_INIT;
    struct sandbox *sb;

    while ((sb = map_next(t->by_id, &it, NULL)))
        sb->seen = false;
}

void sandbox_table_sync_end(struct sandbox_table *t)
{
    struct map_iter it = MAP_ITER_INIT;
    struct sandbox *sb;

    /* The current entry may be removed while iterating; cutting flows touches no other entry. */
    while ((sb = map_next(t->by_id, &it, NULL))) {
        if (!sb->seen)
            sandbox_end(t, sb, "unknown");
    }
}

size_t sandbox_table_count(const struct sandbox_table *t)
{
    return map_count(t->by_id);
}

struct sandbox *sandbox_by_rt(struct sandbox_table *t, const char *rt)
{
    return map_get(t->by_rt, rt);
}

void sandbox_each(struct sandbox_table *t, void (*fn)(void *arg, struct sandbox *sb), void *arg)
{
    struct map_iter it = MAP_ITER_INIT;
    struct sandbox *sb;

    while ((sb = map_next(t->by_id, &it, NULL)))
        fn(arg, sb);
}
