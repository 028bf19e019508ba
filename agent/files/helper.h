/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * helper - a process that does file work under a user's ids. It blocks as it likes, holds one request, and ends when its socket does.
 * Operations are a table (helper.c); to add one is a row there, a code in fmsg.h and a route in files.c.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/files/fmsg.h"
#include "agent/users/users.h"
#include "common/base/attr.h"

struct buf;
struct json_writer;
struct stat;

struct fop {
    int fd;
    const char *workspace;
    struct id_names users, groups;
    /* the request */
    char args[FMSG_CONTROL_MAX];
    size_t args_len;
    uint64_t tick_ms;
    char *temp;   /* owned; a file that must not outlive a broken request */
    uint8_t *io;  /* FMSG_DATA_MAX bytes for whatever an operation reads */
};

no_return void helper_main(int fd, const char *workspace);

/* ---- for operations ---- */
const char *fop_arg(const struct fop *f, const char *name); /* NULL when absent */
bool fop_flag(const struct fop *f, const char *name);
/* A client's path, absolute and clean. NULL: an error has been answered. */
char *fop_path(struct fop *f, const char *name) must_check;
/* How answers name it: without "..", as far as the user may look. Owned by the caller. */
char *fop_shown_path(const char *path) must_check;

/* Answers. They end the process when the agent has gone. */
void fop_go(struct fop *f);
/* The next piece of the body: bytes at *p (until the next call), 0 at its end. */
size_t fop_body(struct fop *f, const uint8_t **p);
void fop_head(struct fop *f, int status, int64_t length, const char *const *headers /* name, value, ..., NULL; or NULL */);
void fop_data(struct fop *f, const void *p, size_t len);
void fop_end(struct fop *f);
no_return void fop_abort(struct fop *f); /* an answer that cannot be finished: the client sees a cut */
void fop_json(struct fop *f, const struct buf *json);
void fop_empty(struct fop *f);
void fop_error(struct fop *f, int status, const char *code, const char *message);
void fop_error_headers(struct fop *f, int status, const char *code, const char *message, const char *const *headers);
/* By errno; `what` is the path or the deed that failed. */
void fop_errno(struct fop *f, int error, const char *what);
void fop_tick(struct fop *f); /* in long loops: tells the agent that we are alive, at most once a second */

/* ---- file objects (object.c) ---- */
/* path: as shown; dirfd and name: where to read a link's target. */
void object_write(struct fop *f, struct json_writer *w, const char *path, const struct stat *st, const char *link_target);
/* Answers {"file":{..}} of that path, by lstat. */
void object_reply(struct fop *f, const char *path);
const char *object_type(const struct stat *st); /* file dir symlink other */

/* ---- operations ---- */
void op_read(struct fop *f);
void op_write(struct fop *f);
void op_stat(struct fop *f);
void op_exists(struct fop *f);
void op_move(struct fop *f);
void op_delete(struct fop *f);
void op_mkdir(struct fop *f);
void op_list(struct fop *f);

/* Shared by operations. 0 or -errno. */
int tree_make_dirs(const char *path, mode_t mode) must_check;          /* mkdir -p of path itself */
int tree_remove(struct fop *f, const char *path);                      /* and everything below */
int tree_copy(struct fop *f, const char *from, const char *to) must_check; /* to must not exist; for moves between file systems */
