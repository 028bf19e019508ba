/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * journal - what the host knows of each VM, one file each (<state_dir>/journal/<id>.json), written before the deed and read after a crash.
 * On a host, anything without an entry is an orphan. Reading and writing block: for worker threads (reading also at the start).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "common/wire/agent_init.h"
#include "dataplane/vmhost/priv/privop.h"

struct buf;
struct err;

enum { JOURNAL_BYTES_MAX = 16 * KIB, JOURNAL_TEXT = 128, JOURNAL_VERSION = 1 };

/* Fixed sizes: an entry is copied to a worker thread as it is. */
struct journal_entry {
    char id[PRIV_NAME_SIZE];
    uint64_t generation;
    char state[16];                    /* creating running stopping gone */
    char end_reason[24];               /* gone */
    int64_t slot;                      /* -1: none */
    int64_t pid;                       /* 0: none */
    uint64_t start_time;
    char slug[64], template_version[80];
    char snap[PRIV_HASH_SIZE];         /* which snapshot its disk stands on */
    int64_t cpu_count, memory_mb;
    char route_token[48], team[JOURNAL_TEXT], hostname[72];
    char on_timeout[8];
    int64_t deadline_ms, started_at_ms, ended_at_ms;
    char agent_token[AGENT_TOKEN_LEN + 1]; /* secret */
};

int journal_write(const char *state_dir, const struct journal_entry *j, struct err *e) must_check; /* durable when it returns */
int journal_remove(const char *state_dir, const char *id, struct err *e) must_check;               /* fine if it is gone */
/* Calls fn for each entry. One that cannot be read is moved aside (<name>.bad) and told: what it belonged to becomes an orphan. */
typedef void journal_fn(void *arg, const struct journal_entry *j);
int journal_each(const char *state_dir, journal_fn *fn, void *arg, struct err *e) must_check;

int journal_encode(struct buf *out, const struct journal_entry *j) must_check;
int journal_decode(const void *p, size_t len, struct journal_entry *out, struct err *e) must_check;
