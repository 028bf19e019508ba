/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * spawn - fork and exec of one user process: its own session, the users' cgroup from its first instruction, the user's ids and groups,
 * pipes or a terminal. Whether the exec worked is told later through status_fd: end of file = yes, else one struct spawn_status.
 * The child never returns to our code and uses nothing but system calls.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/attr.h"

struct env;
struct err;
struct user;

struct spawn_conf {
    const char *cmd;
    char *const *args;       /* behind argv[0] */
    size_t arg_count;
    const struct env *env;
    const struct user *user;
    const char *cwd;         /* absolute */
    bool cwd_wanted;         /* false: home and then / will do when cwd cannot be entered */
    bool stdin_open;         /* else /dev/null; always open on a terminal */
    bool pty;
    uint16_t cols, rows;
    int cgroup_fd;           /* -1 = none */
};

enum spawn_stage { SPAWN_SETUP = 1, SPAWN_CWD, SPAWN_EXEC };

struct spawn_status {
    uint32_t stage;
    int32_t error; /* errno */
};

struct spawned {
    pid_t pid;
    int status_fd;
    int in_fd, out_fd, err_fd; /* non-blocking, -1 = none. On a terminal: out_fd is the master, in_fd its duplicate */
};

int spawn(struct spawned *out, const struct spawn_conf *c, struct err *e) must_check;
/* Code and text for a client. */
const char *spawn_error_code(const struct spawn_status *s);
void spawn_error_text(const struct spawn_status *s, const struct spawn_conf *c, char *out, size_t size);
