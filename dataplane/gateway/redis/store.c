/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/redis/store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "dataplane/gateway/stream/cursor.h"
#include "dataplane/gateway/stream/render.h"

enum store_script { SCRIPT_APPEND, SCRIPT_LOST, SCRIPT_LOSE_ALL, SCRIPT_PURGE, SCRIPT_DROP };

/*
 * KEYS: frames, proc, index. ARGV: 1 first cursor, 2 jump, 3 trim, 4 frames ttl, 5 proc ttl, 6 index score or "", 7 forget before,
 * 8 pid, 9 number of field strings, fields..., then type and data of each frame.
 * Fields are written only when the batch ends where the stream ends: another gateway worker may be ahead of us with the same frames.
 * The index lives as long as the longest of its processes. Numbers go through %.0f because Lua's default form rounds beyond 14 digits.
 */
static const char append_script[] =
    "local call, fmt = redis.call, string.format\n"
    "local last = tonumber(call('HGET', KEYS[2], 'last') or '0')\n"
    "local c, n = tonumber(ARGV[1]), tonumber(ARGV[9])\n"
    "if c > last + 2 then\n"
    "  if ARGV[2] ~= '1' then return -1 - last end\n"
    "  last = c - 2\n"
    "end\n"
    "for i = 10 + n, #ARGV, 2 do\n"
    "  if c > last then\n"
    "    local r = redis.pcall('XADD', KEYS[1], fmt('%.0f-0', c), 't', ARGV[i], 'd', ARGV[i + 1])\n"
    "    if type(r) == 'table' and r.err and not string.find(r.err, 'equal or smaller', 1, true) then\n"
    "      return r\n"
    "    end\n"
    "    last = c\n"
    "  end\n"
    "  c = c + 2\n"
    "end\n"
    "if last == c - 2 or last == 0 then\n"
    "  call('HSET', KEYS[2], 'last', fmt('%.0f', last), unpack(ARGV, 10, 9 + n))\n"
    "end\n"
    "if ARGV[3] ~= '0' then call('XTRIM', KEYS[1], 'MINID', ARGV[3] .. '-0') end\n"
    "if ARGV[6] ~= '' then\n"
    "  call('ZADD', KEYS[3], ARGV[6], ARGV[8])\n"
    "  call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[7])\n"
    "end\n"
    "if ARGV[4] ~= '0' then call('PEXPIRE', KEYS[1], ARGV[4]) end\n"
    "if ARGV[5] ~= '0' then\n"
    "  call('PEXPIRE', KEYS[2], ARGV[5])\n"
    "  if call('PTTL', KEYS[3]) < tonumber(ARGV[5]) then call('PEXPIRE', KEYS[3], ARGV[5]) end\n"
    "end\n"
    "return last\n";

/* KEYS: frames, proc, index. ARGV: frames ttl, proc ttl, now, pid. */
static const char lost_script[] =
    "local call = redis.call\n"
    "if call('HEXISTS', KEYS[2], 'exit') == 1 or call('HSETNX', KEYS[2], 'lost', '1') == 0 then return 0 end\n"
    "call('ZADD', KEYS[3], ARGV[3], ARGV[4])\n"
    "call('PEXPIRE', KEYS[1], ARGV[1])\n"
    "call('PEXPIRE', KEYS[2], ARGV[2])\n"
    "if call('PTTL', KEYS[3]) < tonumber(ARGV[2]) then call('PEXPIRE', KEYS[3], ARGV[2]) end\n"
    "return 1\n";

/* KEYS: index. ARGV: prefixes of the frames and proc keys, frames ttl, proc ttl, now. */
static const char lose_all_script[] =
    "local call = redis.call\n"
    "for _, pid in ipairs(call('ZRANGEBYSCORE', KEYS[1], '+inf', '+inf')) do\n"
    "  local proc = ARGV[2] .. pid\n"
    "  if call('HEXISTS', proc, 'exit') == 0 then\n"
    "    call('HSET', proc, 'lost', '1')\n"
    "    call('ZADD', KEYS[1], ARGV[5], pid)\n"
    "    call('PEXPIRE', ARGV[1] .. pid, ARGV[3])\n"
    "    call('PEXPIRE', proc, ARGV[4])\n"
    "  end\n"
    "end\n"
    "call('PEXPIRE', KEYS[1], ARGV[4])\n"
    "return 1\n";

/* KEYS: index. ARGV: prefixes of the frames and proc keys. They share the index' hash tag, hence its slot. */
static const char purge_script[] =
    "for _, pid in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do\n"
    "  redis.call('UNLINK', ARGV[1] .. pid, ARGV[2] .. pid)\n"
    "end\n"
    "redis.call('UNLINK', KEYS[1])\n"
    "return 1\n";

/* KEYS: frames, proc. ARGV: totals. */
static const char drop_script[] =
    "redis.call('UNLINK', KEYS[1])\n"
    "if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HSET', KEYS[2], 'totals', ARGV[1], 'marks', '') end\n"
    "return 1\n";

const char *const store_scripts[] = {
    [SCRIPT_APPEND] = append_script, [SCRIPT_LOST] = lost_script, [SCRIPT_LOSE_ALL] = lose_all_script,
    [SCRIPT_PURGE] = purge_script, [SCRIPT_DROP] = drop_script, NULL,
};

/* ---- keys ---- */

enum { STORE_KEY_MAX = 192 };

static void store_key(struct redis_cmd *c, const char *what, const char *sandbox, const char *pid)
{
    char key[STORE_KEY_MAX];
    int n = snprintf(key, sizeof(key), "%s:{%s}%s%s", what, sandbox, pid ? ":" : "", pid ? pid : "");

    assert(n > 0 && (size_t) n < sizeof(key));
    redis_cmd_arg(c, key, (size_t) n);
}

static void store_keys(struct redis_cmd *c, const char *sandbox, const char *pid)
{
    store_key(c, "frames", sandbox, pid);
    store_key(c, "proc", sandbox, pid);
    store_key(c, "procs", sandbox, NULL);
}

/* ---- append ---- */

void store_append_begin(struct store_cmd *c, const struct redis *r, const struct store_append *a)
{
    char score[24] = "";

    if (a->finished_ms == 0)
        memcpy(score, "+inf", sizeof("+inf"));
    else if (a->finished_ms > 0)
        snprintf(score, sizeof(score), "%" PRId64, a->finished_ms);
    redis_cmd_script(&c->cmd, r, SCRIPT_APPEND, 3, 9 + 2 * a->fields + 2 * a->frames);
    store_keys(&c->cmd, a->sandbox, a->pid);
    redis_cmd_u64(&c->cmd, a->first);
    redis_cmd_str(&c->cmd, a->jump ? "1" : "0");
    redis_cmd_u64(&c->cmd, a->trim_before);
    redis_cmd_u64(&c->cmd, a->frames_ttl_ms);
    redis_cmd_u64(&c->cmd, a->proc_ttl_ms);
    redis_cmd_str(&c->cmd, score);
    redis_cmd_u64(&c->cmd, a->forget_before_ms > 0 ? (uint64_t) a->forget_before_ms : 0);
    redis_cmd_str(&c->cmd, a->pid);
    redis_cmd_u64(&c->cmd, 2 * a->fields);
}

void store_append_field(struct store_cmd *c, const char *name, const void *p, size_t len)
{
    redis_cmd_str(&c->cmd, name);
    redis_cmd_arg(&c->cmd, p, len);
}

void store_append_frame(struct store_cmd *c, enum link_kind k, const void *p, size_t len)
{
    char letter = render_kind_letter(k);

    redis_cmd_arg(&c->cmd, &letter, 1);
    redis_cmd_arg(&c->cmd, p, len);
}

int store_append_send(struct store_cmd *c, struct redis *r, struct op **slot, redis_done_fn *done, void *arg)
{
    return redis_send(r, &c->cmd, slot, done, arg);
}

int store_append_reply(const struct redisReply *v, uint64_t *last)
{
    int64_t n;

    if (!reply_int(v, &n))
        return STORE_APPEND_RETRY;
    *last = (uint64_t) (n < 0 ? -1 - n : n);
    return n < 0 ? STORE_APPEND_GAP : STORE_APPEND_OK;
}

/* ---- one process ---- */

int store_load(struct redis *r, const char *sandbox, const char *pid, struct op **slot, redis_done_fn *done, void *arg)
{
    static const char *const fields[] = {"last", "totals", "marks", "started", "exit", "lost"};
    struct redis_cmd c;

    redis_cmd_begin(&c, 2 + ARRAY_LEN(fields));
    redis_cmd_str(&c, "HMGET");
    store_key(&c, "proc", sandbox, pid);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        redis_cmd_str(&c, fields[i]);
    return redis_send(r, &c, slot, done, arg);
}

static struct store_text store_field(const struct redisReply *v, size_t i)
{
    struct store_text t = {0};

    t.p = reply_str(reply_at(v, i), &t.len);
    return t;
}

static int store_number(struct store_text t, uint64_t *out)
{
    *out = 0;
    if (!t.p)
        return 0;
    return str_to_u64_n(t.p, t.len, 10, out) == 0 && *out <= CURSOR_MAX ? 0 : -EIO;
}

int store_load_reply(const struct redisReply *v, struct store_proc *out)
{
    if (reply_count(v) != 6)
        return -EIO;
    *out = (struct store_proc){.totals = store_field(v, 1), .marks = store_field(v, 2), .started = store_field(v, 3),
                               .exit = store_field(v, 4), .lost = store_field(v, 5).p != NULL};
    out->found = store_field(v, 0).p || out->lost;
    return store_number(store_field(v, 0), &out->last);
}

static void store_entry_id(struct redis_cmd *c, uint64_t cursor)
{
    char id[32];

    redis_cmd_arg(c, id, (size_t) snprintf(id, sizeof(id), "%" PRIu64 "-0", cursor));
}

int store_range(struct redis *r, const char *sandbox, const char *pid, uint64_t from, uint64_t to, unsigned count, struct op **slot,
                redis_done_fn *done, void *arg)
{
    struct redis_cmd c;

    redis_cmd_begin(&c, 6);
    redis_cmd_str(&c, "XRANGE");
    store_key(&c, "frames", sandbox, pid);
    store_entry_id(&c, from);
    store_entry_id(&c, to);
    redis_cmd_str(&c, "COUNT");
    redis_cmd_u64(&c, count);
    return redis_send(r, &c, slot, done, arg);
}

size_t store_range_count(const struct redisReply *v)
{
    return reply_count(v);
}

static int store_entry_cursor(const char *id, size_t len, uint64_t *out)
{
    const char *dash = memchr(id, '-', len);

    if (!dash || str_to_u64_n(id, (size_t) (dash - id), 10, out) < 0)
        return -EIO;
    return cursor_valid(*out) ? 0 : -EIO;
}

int store_range_at(const struct redisReply *v, size_t i, struct store_frame *out)
{
    const struct redisReply *entry = reply_at(v, i), *fields = reply_at(entry, 1);
    size_t id_len, t_len;
    const char *id = reply_str(reply_at(entry, 0), &id_len), *t = reply_str(reply_at(fields, 1), &t_len);

    if (!id || !t || t_len != 1 || store_entry_cursor(id, id_len, &out->cursor) < 0 || render_kind_from_letter(*t, &out->kind) < 0)
        return -EIO;
    out->p = reply_str(reply_at(fields, 3), &out->len);
    return out->p ? 0 : -EIO;
}

int store_lost(struct redis *r, const char *sandbox, const char *pid, uint64_t frames_ttl_ms, uint64_t proc_ttl_ms, int64_t now_ms,
               redis_done_fn *done, void *arg)
{
    struct redis_cmd c;

    redis_cmd_script(&c, r, SCRIPT_LOST, 3, 4);
    store_keys(&c, sandbox, pid);
    redis_cmd_u64(&c, frames_ttl_ms);
    redis_cmd_u64(&c, proc_ttl_ms);
    redis_cmd_u64(&c, (uint64_t) now_ms);
    redis_cmd_str(&c, pid);
    return redis_send(r, &c, NULL, done, arg);
}

int store_drop_output(struct redis *r, const char *sandbox, const char *pid, const char *totals, size_t totals_len)
{
    struct redis_cmd c;

    redis_cmd_script(&c, r, SCRIPT_DROP, 2, 1);
    store_key(&c, "frames", sandbox, pid);
    store_key(&c, "proc", sandbox, pid);
    redis_cmd_arg(&c, totals, totals_len);
    return redis_send(r, &c, NULL, NULL, NULL);
}

/* ---- one sandbox ---- */

int store_pids(struct redis *r, const char *sandbox, int64_t since_ms, unsigned count, struct op **slot, redis_done_fn *done, void *arg)
{
    struct redis_cmd c;

    redis_cmd_begin(&c, 7);
    redis_cmd_str(&c, "ZREVRANGEBYSCORE");
    store_key(&c, "procs", sandbox, NULL);
    redis_cmd_str(&c, "+inf");
    if (since_ms > 0)
        redis_cmd_u64(&c, (uint64_t) since_ms);
    else
        redis_cmd_str(&c, "+inf");
    redis_cmd_str(&c, "LIMIT");
    redis_cmd_u64(&c, 0);
    redis_cmd_u64(&c, count);
    return redis_send(r, &c, slot, done, arg);
}

/* The two prefixes that a script puts before each pid of the index. */
static void store_prefixes(struct redis_cmd *c, const char *sandbox)
{
    char prefix[64];

    redis_cmd_arg(c, prefix, (size_t) snprintf(prefix, sizeof(prefix), "frames:{%s}:", sandbox));
    redis_cmd_arg(c, prefix, (size_t) snprintf(prefix, sizeof(prefix), "proc:{%s}:", sandbox));
}

int store_lose_all(struct redis *r, const char *sandbox, uint64_t frames_ttl_ms, uint64_t proc_ttl_ms)
{
    struct redis_cmd c;

    redis_cmd_script(&c, r, SCRIPT_LOSE_ALL, 1, 5);
    store_key(&c, "procs", sandbox, NULL);
    store_prefixes(&c, sandbox);
    redis_cmd_u64(&c, frames_ttl_ms);
    redis_cmd_u64(&c, proc_ttl_ms);
    redis_cmd_u64(&c, (uint64_t) clock_real_ms());
    return redis_send(r, &c, NULL, NULL, NULL);
}

int store_purge(struct redis *r, const char *sandbox)
{
    struct redis_cmd c;

    redis_cmd_script(&c, r, SCRIPT_PURGE, 1, 2);
    store_key(&c, "procs", sandbox, NULL);
    store_prefixes(&c, sandbox);
    return redis_send(r, &c, NULL, NULL, NULL);
}
