/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/procs/env.h"
#include <stdlib.h>
#include <string.h>
#include "agent/users/users.h"
#include "common/base/mem.h"
#include "common/json/json.h"

static bool env_is(const char *item, const char *name, size_t len)
{
    return strncmp(item, name, len) == 0 && item[len] == '=';
}

static void env_item_free(char *item)
{
    mem_wipe(item, strlen(item));
    free(item);
}

static void env_set(struct env *e, const char *name, const char *value)
{
    char *item = xasprintf("%s=%s", name, value);
    size_t len = strlen(name);

    for (size_t i = 0; i < e->count; i++) {
        if (env_is(e->items[i], name, len)) {
            env_item_free(e->items[i]);
            e->items[i] = item;
            return;
        }
    }
    e->items = xrealloc(e->items, (e->count + 2) * sizeof(*e->items));
    e->items[e->count++] = item;
    e->items[e->count] = NULL;
}

static bool env_name_ok(const char *name)
{
    return *name && !strchr(name, '=');
}

int env_map_check(const struct json_map *m, const char **bad)
{
    for (size_t i = 0; i < m->count; i++) {
        if (!env_name_ok(m->items[i].key)) {
            if (bad)
                *bad = m->items[i].key;
            return ENV_E_BAD_NAME;
        }
    }
    return ENV_E_OK;
}

static int env_merge(struct env *e, const struct json_map *m, const char **bad)
{
    if (!m)
        return ENV_E_OK;
    if (env_map_check(m, bad) != ENV_E_OK)
        return ENV_E_BAD_NAME;
    for (size_t i = 0; i < m->count; i++)
        env_set(e, m->items[i].key, m->items[i].value);
    return ENV_E_OK;
}

int env_build(struct env *out, const struct user *u, bool terminal, const struct json_map *sandbox, const struct json_map *request,
              const char **bad)
{
    struct env e = {0};

    env_set(&e, "HOME", u->home);
    env_set(&e, "USER", u->name);
    env_set(&e, "LOGNAME", u->name);
    env_set(&e, "SHELL", u->shell);
    env_set(&e, "PATH", ENV_PATH);
    env_set(&e, "LANG", "C.UTF-8");
    if (terminal)
        env_set(&e, "TERM", "xterm-256color");
    if (env_merge(&e, sandbox, bad) != ENV_E_OK || env_merge(&e, request, bad) != ENV_E_OK) {
        env_deinit(&e);
        return ENV_E_BAD_NAME;
    }
    *out = e;
    return ENV_E_OK;
}

const char *env_get(const struct env *e, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < e->count; i++) {
        if (env_is(e->items[i], name, len))
            return e->items[i] + len + 1;
    }
    return NULL;
}

void env_deinit(struct env *e)
{
    for (size_t i = 0; i < e->count; i++)
        env_item_free(e->items[i]);
    free(e->items);
    memset(e, 0, sizeof(*e));
}

void env_map_copy(struct json_map *out, const struct json_map *m)
{
    out->count = m->count;
    out->items = m->count ? xcalloc(m->count, sizeof(*out->items)) : NULL;
    for (size_t i = 0; i < m->count; i++) {
        out->items[i].key = xstrdup(m->items[i].key);
        out->items[i].value = xstrdup(m->items[i].value ? m->items[i].value : "");
    }
}

void env_map_wipe(struct json_map *m)
{
    for (size_t i = 0; i < m->count; i++) {
        mem_wipe(m->items[i].value, strlen(m->items[i].value));
        free(m->items[i].key);
        free(m->items[i].value);
    }
    free(m->items);
    *m = (struct json_map){0};
}
