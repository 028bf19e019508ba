/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync - after each new link: which processes does the store call running, and does the agent know them?
 * The store is asked first, then the agent: a process that starts in between is in the second list only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/json/json.h"
#include "common/loop/op.h"
#include "dataplane/gateway/redis/store.h"
#include "dataplane/gateway/routes/sandbox.h"
#include "dataplane/gateway/stream/client_frame.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/streams.h"

enum { SYNC_LIST_BYTES = 2 * 1024 * 1024, SYNC_LIST_MS = 20000 };

static void sync_skip(const struct streams *s, const char *why)
{
    struct log_ctx ctx = {.sandbox = s->sandbox->id};

    log_warn(&ctx, "cannot compare processes with the agent", "reason", why);
}

/* What the agent runs and we do not follow: its frames are asked for. */
static void sync_follow(struct streams *s, const char *pid, const char *status)
{
    struct pstream *p;

    if (streams_find(s, pid) || !str_eq(status, "running"))
        return;
    p = streams_open(s, pid);
    if (p)
        p->resend = true; /* takes effect when it is loaded */
}

static void sync_compare(struct streams *s, const struct json *list)
{
    struct map *listed = map_new();
    struct map_iter it = MAP_ITER_INIT;
    struct pstream *p;

    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *v = json_at(list, i);
        const char *pid = json_str(json_get(v, "pid"));

        if (!pid || !process_id_valid(pid))
            continue;
        map_put(listed, pid, s);
        sync_follow(s, pid, json_str(json_get(v, "status")));
    }
    while ((p = map_next(s->procs, &it, NULL))) {
        if (p->judged && !map_get(listed, p->pid))
            pstream_lose(p);
        p->judged = false;
    }
    map_free(listed);
}

static void sync_on_list(void *arg, int r, const struct http_response *resp)
{
    struct streams *s = arg;
    cleanup(json_doc_freep) struct json_doc *doc = NULL;
    const struct json *list;

    if (r < 0) {
        sync_skip(s, strerror(-r));
        return;
    }
    if (resp->head->status != 200 || json_parse(&doc, resp->body, resp->body_len, NULL) < 0) {
        sync_skip(s, "its answer makes no sense");
        return;
    }
    list = json_get(json_root(doc), "processes");
    if (json_type(list) == JSON_ARRAY)
        sync_compare(s, list);
    else
        sync_skip(s, "its answer has no list");
    streams_kick(s);
}

static void sync_ask_agent(struct streams *s)
{
    char *bearer = xasprintf("Bearer %s", (const char *) s->sandbox->agent_token.bytes);
    struct http_header items[] = {{"Authorization", bearer}};
    struct http_headers headers = {items, ARRAY_LEN(items)};
    struct http_call call = {.method = "GET",
                             .target = "/runtime/v1/process?all=true",
                             .headers = &headers,
                             .answer_bytes_max = SYNC_LIST_BYTES,
                             .deadline_ms = SYNC_LIST_MS,
                             .retry = true};
    int r = http_call(s->pool, &call, &s->sync_op, sync_on_list, s);

    mem_wipe(bearer, strlen(bearer));
    free(bearer);
    if (r < 0)
        sync_skip(s, strerror(-r));
}

/* Only processes whose first frame is stored: the agent must know those. */
static void sync_judge(struct streams *s, const struct redisReply *pids)
{
    struct map_iter it = MAP_ITER_INIT;
    struct pstream *p;

    while ((p = map_next(s->procs, &it, NULL)))
        p->judged = p->state == PSTREAM_LIVE && p->stored > 0;
    for (size_t i = 0; i < reply_count(pids); i++) {
        size_t len;
        const char *pid = reply_str(reply_at(pids, i), &len);

        if (!pid || !process_id_valid(pid) || streams_find(s, pid))
            continue;
        p = streams_open(s, pid);
        if (!p)
            break;
        p->judged = true;
        p->resend = true;
    }
}

static void sync_on_pids(void *arg, int r, const struct redisReply *reply)
{
    struct streams *s = arg;

    if (r < 0 || reply_error(reply)) {
        s->sync_wanted = true; /* when the store is back */
        return;
    }
    sync_judge(s, reply);
    sync_ask_agent(s);
}

void streams_sync(struct streams *s)
{
    op_cancel(&s->sync_op);
    s->sync_wanted = false;
    if (!s->link || !alink_up(alink_state(s->link)))
        return; /* the next link does it */
    if (store_pids(s->env->redis, s->sandbox->id, 0, s->env->limits.processes_per_sandbox, &s->sync_op, sync_on_pids, s) < 0)
        s->sync_wanted = true;
}
