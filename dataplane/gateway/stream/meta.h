/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * meta - what is known of one process besides its output: the decoded `started` and `exit` frames, the status that follows from them,
 * and the public process object.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"

struct json_writer;

enum { META_STARTED_MAX = 256 * 1024, META_EXIT_MAX = 4096 };

enum meta_exit_error { META_EXIT_NONE, META_EXIT_KILLED, META_EXIT_TIMEOUT };

struct meta {
    char *started;      /* owned: JSON of frame 1 as the agent sent it, checked; NULL = not known */
    size_t started_len;
    int64_t os_pid;
    bool exited;
    int64_t exit_code;
    enum meta_exit_error exit_error;
    int64_t finished_at_us;
    bool lost;          /* no exit was seen and none will be */
};

void meta_deinit(struct meta *m);
void meta_copy(struct meta *to, const struct meta *from); /* to: zero */
/* The agent's bytes: -EINVAL when they are not what the frame must hold; nothing is changed then. */
int meta_set_started(struct meta *m, const void *json, size_t len) must_check;
int meta_set_exit(struct meta *m, const void *json, size_t len) must_check;
/* "code error finished_at_us", for the store. */
int meta_read_exit(struct meta *m, const char *text, size_t len) must_check;
void meta_exit_text(const struct meta *m, char *out, size_t size);

const char *meta_exit_error_text(enum meta_exit_error e); /* NULL for none */
const char *meta_status(const struct meta *m);            /* running succeeded failed killed timed_out */
bool meta_finished(const struct meta *m);
/* The public process object. */
void meta_write_process(const struct meta *m, const char *pid, struct json_writer *w);
/* "exit_code" and "finished_at" members, null where not known. */
void meta_write_end(const struct meta *m, struct json_writer *w);
