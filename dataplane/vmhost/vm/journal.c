/* SPDX-License-Identifier: Apache-2.0 */
/* journal - see journal.h */
#include "dataplane/vmhost/vm/journal.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct journal_file {
    int64_t version;
    char *id, *state, *end_reason, *slug, *template_version, *snap, *route_token, *team, *hostname, *on_timeout, *agent_token;
    uint64_t generation, start_time;
    int64_t slot, pid, cpu_count, memory_mb, deadline_ms, started_at_ms, ended_at_ms;
};

#define AT(member) .offset = offsetof(struct journal_file, member), .present = JSON_NO_PRESENT
#define FITS(member) .max = sizeof(((struct journal_entry *) 0)->member) - 1

static const struct json_field journal_fields[] = {
    {"version", JSON_F_INT, JSON_REQUIRED, AT(version), .min = JOURNAL_VERSION, .max = JOURNAL_VERSION},
    {"id", JSON_F_STRING, JSON_REQUIRED, AT(id), .min = 1, FITS(id)},
    {"generation", JSON_F_U64, JSON_REQUIRED, AT(generation), .min = 0, .max = INT64_MAX},
    {"state", JSON_F_STRING, JSON_REQUIRED, AT(state), .min = 1, FITS(state)},
    {"end_reason", JSON_F_STRING, 0, AT(end_reason), FITS(end_reason)},
    {"slot", JSON_F_INT, JSON_REQUIRED, AT(slot), .min = -1, .max = PRIV_SLOTS_MAX - 1},
    {"pid", JSON_F_INT, JSON_REQUIRED, AT(pid), .min = 0, .max = INT32_MAX},
    {"start_time", JSON_F_U64, JSON_REQUIRED, AT(start_time), .min = 0, .max = INT64_MAX},
    {"slug", JSON_F_STRING, JSON_REQUIRED, AT(slug), FITS(slug)},
    {"template_version", JSON_F_STRING, JSON_REQUIRED, AT(template_version), FITS(template_version)},
    {"snap", JSON_F_STRING, JSON_REQUIRED, AT(snap), FITS(snap)},
    {"cpu_count", JSON_F_INT, JSON_REQUIRED, AT(cpu_count), .min = 1, .max = PRIV_CPUS_MAX},
    {"memory_mb", JSON_F_INT, JSON_REQUIRED, AT(memory_mb), .min = PRIV_MEMORY_MB_MIN, .max = PRIV_MEMORY_MB_MAX},
    {"route_token", JSON_F_STRING, JSON_REQUIRED, AT(route_token), FITS(route_token)},
    {"team", JSON_F_STRING, JSON_REQUIRED, AT(team), FITS(team)},
    {"hostname", JSON_F_STRING, JSON_REQUIRED, AT(hostname), FITS(hostname)},
    {"on_timeout", JSON_F_STRING, JSON_REQUIRED, AT(on_timeout), FITS(on_timeout)},
    {"deadline_ms", JSON_F_INT, JSON_REQUIRED, AT(deadline_ms), .min = 0, .max = INT64_MAX},
    {"started_at_ms", JSON_F_INT, JSON_REQUIRED, AT(started_at_ms), .min = 0, .max = INT64_MAX},
    {"ended_at_ms", JSON_F_INT, JSON_REQUIRED, AT(ended_at_ms), .min = 0, .max = INT64_MAX},
    {"agent_token", JSON_F_STRING, JSON_REQUIRED, AT(agent_token), .min = AGENT_TOKEN_LEN, .max = AGENT_TOKEN_LEN},
    {0},
};
static const struct json_table journal_table = {journal_fields, sizeof(struct journal_file), true};

int journal_encode(struct buf *out, const struct journal_entry *j)
{
    struct json_writer w;

    json_writer_init(&w, out);
    jw_object(&w);
    jw_kint(&w, "version", JOURNAL_VERSION);
    jw_kstr(&w, "id", j->id);
    jw_ku64(&w, "generation", j->generation);
    jw_kstr(&w, "state", j->state);
    jw_kstr(&w, "end_reason", j->end_reason);
    jw_kint(&w, "slot", j->slot);
    jw_kint(&w, "pid", j->pid);
    jw_ku64(&w, "start_time", j->start_time);
    jw_kstr(&w, "slug", j->slug);
    jw_kstr(&w, "template_version", j->template_version);
    jw_kstr(&w, "snap", j->snap);
    jw_kint(&w, "cpu_count", j->cpu_count);
    jw_kint(&w, "memory_mb", j->memory_mb);
    jw_kstr(&w, "route_token", j->route_token);
    jw_kstr(&w, "team", j->team);
    jw_kstr(&w, "hostname", j->hostname);
    jw_kstr(&w, "on_timeout", j->on_timeout);
    jw_kint(&w, "deadline_ms", j->deadline_ms);
    jw_kint(&w, "started_at_ms", j->started_at_ms);
    jw_kint(&w, "ended_at_ms", j->ended_at_ms);
    jw_kstr(&w, "agent_token", j->agent_token);
    jw_object_end(&w);
    return json_writer_end(&w);
}

static void journal_copy(char *to, size_t size, const char *from)
{
    if (!str_copy(to, size, from ? from : ""))
        abort(); /* the table limits the length */
}

static int journal_check(const struct journal_file *f, struct err *e)
{
    const char *const states[] = {"creating", "running", "stopping", "gone"};
    bool known = false;

    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        known |= str_eq(f->state, states[i]);
    if (!known)
        return err_set(e, -EINVAL, "state: '%s' is unknown", f->state);
    if (!privop_name_valid(f->id, PRIV_NAME_SIZE))
        return err_set(e, -EINVAL, "id: is not an id");
    if (f->snap[0] && (strlen(f->snap) != PRIV_HASH_SIZE - 1 || !privop_hash_valid(f->snap)))
        return err_set(e, -EINVAL, "snap: is not a checksum");
    if (f->pid == 1)
        return err_set(e, -EINVAL, "pid: 1");
    return 0;
}

static void journal_take(struct journal_entry *j, const struct journal_file *f)
{
    memset(j, 0, sizeof(*j));
    journal_copy(j->id, sizeof(j->id), f->id);
    journal_copy(j->state, sizeof(j->state), f->state);
    journal_copy(j->end_reason, sizeof(j->end_reason), f->end_reason);
    journal_copy(j->slug, sizeof(j->slug), f->slug);
    journal_copy(j->template_version, sizeof(j->template_version), f->template_version);
    journal_copy(j->snap, sizeof(j->snap), f->snap);
    journal_copy(j->route_token, sizeof(j->route_token), f->route_token);
    journal_copy(j->team, sizeof(j->team), f->team);
    journal_copy(j->hostname, sizeof(j->hostname), f->hostname);
    journal_copy(j->on_timeout, sizeof(j->on_timeout), f->on_timeout);
    journal_copy(j->agent_token, sizeof(j->agent_token), f->agent_token);
    j->generation = f->generation;
    j->slot = f->slot;
    j->pid = f->pid;
    j->start_time = f->start_time;
    j->cpu_count = f->cpu_count;
    j->memory_mb = f->memory_mb;
    j->deadline_ms = f->deadline_ms;
    j->started_at_ms = f->started_at_ms;
    j->ended_at_ms = f->ended_at_ms;
}

int journal_decode(const void *p, size_t len, struct journal_entry *out, struct err *e)
{
    struct arena *a = arena_new(4 * JOURNAL_BYTES_MAX);
    struct journal_file f;
    int r = len > JOURNAL_BYTES_MAX ? err_set(e, -EFBIG, "entry of %zu bytes", len) : json_decode(&journal_table, p, len, a, &f, e);

    if (r == 0)
        r = journal_check(&f, e);
    if (r == 0)
        journal_take(out, &f);
    arena_free(a);
    return r;
}

static void journal_path(const char *state_dir, const char *id, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/journal/%s.json", state_dir, id);
}

int journal_write(const char *state_dir, const struct journal_entry *j, struct err *e)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(JOURNAL_BYTES_MAX);
    char path[PATH_MAX];
    int r = journal_encode(&text, j);

    if (r == 0)
        r = buf_append(&text, "\n", 1);
    if (r < 0)
        return err_set(e, r, "journal entry of %s", j->id);
    journal_path(state_dir, j->id, path);
    r = file_write_atomic(path, buf_data(&text), text.len, 0600, e);
    mem_wipe(buf_data(&text), text.len);
    return r;
}

int journal_remove(const char *state_dir, const char *id, struct err *e)
{
    char path[PATH_MAX];

    journal_path(state_dir, id, path);
    return unlink(path) < 0 && errno != ENOENT ? err_errno(e, "remove '%s'", path) : 0;
}

static void journal_put_aside(const char *path, const char *why)
{
    char aside[PATH_MAX + 8];

    snprintf(aside, sizeof(aside), "%s.bad", path);
    log_error(NULL, "journal entry cannot be read; its virtual machine will be removed as an orphan", "file", aside, "error", why);
    if (rename(path, aside) < 0)
        log_error(NULL, "journal entry cannot be put aside", "file", path, "error", strerror(errno));
}

static int journal_read_one(const char *path, struct journal_entry *j, struct err *e)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(JOURNAL_BYTES_MAX + 1);
    int r = file_read(path, JOURNAL_BYTES_MAX, &text, e);

    if (r == 0)
        r = journal_decode(buf_data(&text), text.len, j, e);
    if (text.len)
        mem_wipe(buf_data(&text), text.len);
    return r;
}

static void journal_visit(const char *state_dir, const char *name, journal_fn *fn, void *arg)
{
    struct journal_entry j;
    struct err e = ERR_INIT;
    char path[PATH_MAX];
    size_t len = strlen(name);

    snprintf(path, sizeof(path), "%s/journal/%s", state_dir, name);
    if (!str_ends(name, ".json")) {
        if (!str_ends(name, ".bad"))
            (void) unlink(path); /* a temporary file of a write that was cut */
        return;
    }
    if (journal_read_one(path, &j, &e) < 0) {
        journal_put_aside(path, e.text);
        return;
    }
    if (strlen(j.id) != len - 5 || strncmp(j.id, name, len - 5) != 0) {
        journal_put_aside(path, "the id in it is not its name");
        return;
    }
    fn(arg, &j);
    mem_wipe(&j, sizeof(j));
}

int journal_each(const char *state_dir, journal_fn *fn, void *arg, struct err *e)
{
    struct dirent **names;
    char path[PATH_MAX];
    int n;

    snprintf(path, sizeof(path), "%s/journal", state_dir);
    n = scandir(path, &names, NULL, alphasort);
    if (n < 0)
        return err_errno(e, "read '%s'", path);
    for (int i = 0; i < n; i++) {
        if (!str_eq(names[i]->d_name, ".") && !str_eq(names[i]->d_name, ".."))
            journal_visit(state_dir, names[i]->d_name, fn, arg);
        free(names[i]);
    }
    free(names);
    return 0;
}
