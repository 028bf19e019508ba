/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * procs - the table of user processes: start, find, list, limits, retention. Loop thread only.
 *
 * A process is here from the request to start it until an hour after its end (or until room is needed and all its frames are
 * acknowledged). Only waitpid makes an end; only an end makes an `exit` frame.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/procs/detached.h"
#include "agent/procs/frames.h"
#include "agent/procs/idset.h"
#include "agent/procs/input.h"
#include "agent/procs/output.h"
#include "common/base/list.h"
#include "common/json/json.h"

struct io;
struct loop;
struct map;
struct reaper;
struct timer;

enum {
    PROCS_RUNNING_MAX = 1000,
    PROCS_FINISHED_MAX = 1000,      /* the oldest go first, if the gateway has all of them */
    PROCS_COUNT_MAX = 4000,         /* with those that wait for their acknowledgement */
    PROCS_FINISHED_KEEP_MS = 3600 * 1000,
    PROCS_META_BYTES_MAX = 16 * KIB, /* of arguments that listings show */
    PROC_PIPE_BYTES = 1 * MIB,      /* what a process may write before it waits for us */
    PROC_QUIET_MS = 100,            /* after the end: pipes silent for so long are detached */
    PROC_DRAIN_MS = 1000,           /* not silent: detached after this, once what was in them at the end has been read */
};

enum proc_state {
    PROC_STARTING, /* forked, not known yet whether the exec works */
    PROC_RUNNING,
    PROC_DRAINING, /* has ended; its pipes are being emptied */
    PROC_FINISHED, /* `exit` is its last frame */
};

struct proc {
    struct procs *table;
    struct list node; /* procs.all, oldest first */
    enum proc_state state;
    char id[LINK_PID_MAX + 1];
    bool id_chosen;               /* by the client: never to be used again */
    char *tag, *cmd, *cwd, *user; /* owned; tag may be NULL */
    struct json_strings args;     /* owned; cut at PROCS_META_BYTES_MAX */
    bool pty, stdin_open;
    pid_t os_pid;
    int64_t started_us, finished_us; /* unix */

    /* the start */
    struct input_ref starter;
    int status_fd;
    struct io *status_io;
    struct json_strings all_args; /* owned until `started` is written */

    /* the end */
    bool exited;
    int status;          /* of waitpid */
    bool timed_out;      /* we killed it for its timeout */
    int api_signal;      /* last signal sent for a client */
    uint64_t exited_ms;  /* monotonic */
    uint64_t finished_ms;
    int exit_code;
    const char *error;   /* "killed" | "timeout" | NULL */
    int64_t timeout_ms;
    struct timer *timeout;
    struct list waits;   /* struct proc_wait */

    /* its streams */
    struct input in;
    struct proc_stream {
        struct proc *proc;
        struct output out;
        int fd; /* owned; -1 = ended or detached */
        struct io *io;
        uint64_t held_ms;  /* since when bytes are held back */
        uint64_t wake_ms;  /* the last time it had something */
        unsigned wakes;    /* how often in a row that was little, and soon after the time before */
        struct timer *rest; /* pending: it is left alone for a moment */
        uint64_t drain_to; /* output.bytes that must be reached before it may be detached */
    } streams[2]; /* stdout (or the terminal), stderr */
    struct timer *hold, *quiet;
    bool paused; /* no room: the streams are not read */
    struct frames frames;
    struct list readers; /* links' views: struct link_view.proc_node */
};

struct procs_ops {
    void (*reply)(void *arg, const struct input_ref *ref, const char *code, const char *message, const struct proc *started);
    void (*on_frames)(void *arg, struct proc *p); /* there is something new to send */
    void (*on_gone)(void *arg, struct proc *p);   /* forget it: it is freed after this */
};

struct procs_conf {
    struct loop *loop;
    struct reaper *reaper;
    int cgroup_fd;             /* borrowed; -1 = none */
    size_t budget_bytes;       /* for the frames of all processes; as much again at most for their input */
    const struct json_map *env; /* the sandbox's; read at each start */
    const char *workspace;     /* relative paths and the default */
};

struct procs {
    struct procs_conf conf;
    struct procs_ops ops;
    void *ops_arg;
    struct list all;
    struct map *by_id;
    unsigned active;   /* not finished */
    unsigned finished;
    unsigned paused;
    struct idset used;
    struct frames_budget budget;
    struct input_budget input_budget;
    struct detached detached;
    struct timer *tick;
    uint64_t tick_ms; /* when it is due; 0 = it is not set */
};

int procs_new(struct procs **out, const struct procs_conf *conf) must_check;
void procs_set_ops(struct procs *t, const struct procs_ops *ops, void *arg);
void procs_free(struct procs *t);

struct link_start;
/* Answers ref through ops.reply, now or later: exactly once. */
void procs_start(struct procs *t, const struct link_start *m, const struct input_ref *ref);
struct proc *procs_find(const struct procs *t, const void *id, size_t len);
void procs_kill_all(struct procs *t, int signo); /* of those that run, their groups; for shutdown without an init */

/* ---- one process ---- */
const char *proc_status(const struct proc *p); /* running succeeded failed killed timed_out */
void proc_signal(struct proc *p, int signo, bool group); /* nothing after its end */
int proc_resize(struct proc *p, uint16_t cols, uint16_t rows) must_check; /* -ENOTTY */
bool proc_ack(struct proc *p, uint64_t cursor) must_check; /* false: no such frame */

/* Calls fn once when the process ends (from the loop), unless cancelled first. */
struct proc_wait {
    struct list node;
    void (*fn)(void *arg);
    void *arg;
};
void proc_wait_begin(struct proc *p, struct proc_wait *w, void (*fn)(void *arg), void *arg);
void proc_wait_cancel(struct proc_wait *w);

/* ---- between the files of this folder ---- */
struct proc *proc_new(struct procs *t, const char *id);
void proc_free(struct proc *p);
void proc_begin(struct proc *p);                      /* the exec worked */
void proc_on_exit(void *arg, int status);             /* reaper_fn */
void proc_resume(struct proc *p);                     /* reads again if there is room */
void procs_finished(struct procs *t, struct proc *p); /* bookkeeping at PROC_FINISHED */
void procs_evict(struct procs *t);                    /* those that are old, and the oldest stored ones if there are too many */
void procs_tick_soon(struct procs *t);                /* something was acknowledged, or waits for room */
