/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn - everything that allocates is made before the fork. Credentials are changed by raw system calls: the library's wrappers would
 * look for threads of a process that this one is a copy of.
 */
#include "agent/procs/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "agent/procs/env.h"
#include "agent/procs/procs.h"
#include "agent/users/users.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/mem.h"

enum { TTY_GID = 5 /* Debian's group tty, as devpts is mounted */, NOFILE_SOFT = 1024, NOFILE_HARD = 524288 };

struct child {
    const struct spawn_conf *conf;
    char **argv;  /* argv[0] is left free for a shell, the command is argv[1] */
    const char *path; /* PATH of the new environment */
    int std[3];
    int status_fd;
    bool switch_user;
};

/* ---- the child's side: system calls only ---- */

no_return static void child_fail(const struct child *c, enum spawn_stage stage, int error)
{
    struct spawn_status s = {.stage = stage, .error = error};
    ssize_t n = write(c->status_fd, &s, sizeof(s));

    (void) n;
    _exit(127);
}

/* Handlers have gone with CLONE_CLEAR_SIGHAND; what is ignored stays so. */
static void child_signals(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigset_t none;

    (void) sigaction(SIGPIPE, &sa, NULL);
    sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What the agent has for itself must not be inherited. */
static void child_limits(void)
{
    struct rlimit files = {NOFILE_SOFT, NOFILE_HARD}, core = {0, RLIM_INFINITY};
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t n = write(fd, "0", 1);

        (void) n;
        close(fd);
    }
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) { /* not root: what is allowed */
        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max > NOFILE_SOFT) {
            files.rlim_cur = NOFILE_SOFT;
            (void) setrlimit(RLIMIT_NOFILE, &files);
        }
    }
    (void) setrlimit(RLIMIT_CORE, &core);
    (void) setpriority(PRIO_PROCESS, 0, 0);
    umask(022);
}

static void child_terminal(const struct child *c)
{
    if (setsid() < 0)
        child_fail(c, SPAWN_SETUP, errno);
    if (c->conf->pty && ioctl(c->std[0], TIOCSCTTY, 0) < 0)
        child_fail(c, SPAWN_SETUP, errno);
}

static void child_files(const struct child *c)
{
    for (int i = 0; i < 3; i++) {
        if (dup2(c->std[i], i) < 0)
            child_fail(c, SPAWN_SETUP, errno);
    }
    /* status_fd stays open until the exec */
    if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0 && errno != ENOSYS && errno != EINVAL)
        child_fail(c, SPAWN_SETUP, errno);
}

static void child_user(const struct child *c)
{
    const struct user *u = c->conf->user;

    if (!c->switch_user)
        return;
    if (syscall(SYS_setgroups, u->group_count, u->groups) < 0 || syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0 ||
        syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
        child_fail(c, SPAWN_SETUP, errno);
}

static void child_cwd(const struct child *c)
{
    int error;

    if (chdir(c->conf->cwd) == 0)
        return;
    error = errno;
    if (c->conf->cwd_wanted || (chdir(c->conf->user->home) < 0 && chdir("/") < 0))
        child_fail(c, SPAWN_CWD, error);
}

/* Like execvp(): a file without a magic number is a shell script. Returns errno. */
static int child_exec_file(const struct child *c, const char *file)
{
    char **env = c->conf->env->items;
    int error;

    execve(file, c->argv + 1, env);
    if (errno != ENOEXEC)
        return errno;
    char *cmd = c->argv[1];

    c->argv[0] = (char *) "/bin/sh";
    c->argv[1] = (char *) file;
    execve("/bin/sh", c->argv, env);
    error = errno;
    c->argv[1] = cmd;
    return error;
}

static bool exec_error_goes_on(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG || error == EACCES || error == ELOOP;
}

static int child_exec_path(const struct child *c)
{
    const char *p = c->path, *cmd = c->conf->cmd;
    size_t cmd_len = strlen(cmd);
    int error = ENOENT;
    char file[PATH_MAX];

    for (;;) {
        size_t len = strcspn(p, ":");

        if (len + cmd_len + 2 <= sizeof(file)) {
            char *to = file;

            memcpy(to, p, len);
            to += len;
            if (len && to[-1] != '/')
                *to++ = '/';
            memcpy(to, cmd, cmd_len + 1);
            int r = child_exec_file(c, file);

            if (!exec_error_goes_on(r))
                return r;
            if (r == EACCES)
                error = r;
        }
        if (!p[len])
            return error;
        p += len + 1;
    }
}

no_return static void child_main(const struct child *c)
{
    child_signals();
    child_terminal(c);
    child_limits();
    child_files(c);
    child_user(c);
    child_cwd(c);
    child_fail(c, SPAWN_EXEC, strchr(c->conf->cmd, '/') ? child_exec_file(c, c->conf->cmd) : child_exec_path(c));
}

/* ---- the parent's side ---- */

static pid_t spawn_fork(int cgroup_fd)
{
    struct clone_args a = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    long pid;

    if (cgroup_fd >= 0) {
        a.flags |= CLONE_INTO_CGROUP;
        a.cgroup = (uint64_t) cgroup_fd;
    }
    pid = syscall(SYS_clone3, &a, sizeof(a));
    return (pid_t) pid;
}

struct ends {
    int child[3];
    int ours[3];
};

static void ends_close(struct ends *n)
{
    for (int i = 0; i < 3; i++) {
        fd_closep(&n->child[i]);
        fd_closep(&n->ours[i]);
    }
}

/* The user owns the pipe: programs open /dev/stdin and /dev/stdout by name. */
static int ends_pipe(struct ends *n, int index, bool child_reads, const struct user *owner)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    n->child[index] = p[child_reads ? 0 : 1];
    n->ours[index] = p[child_reads ? 1 : 0];
    if (!child_reads) /* a wish: the kernel has limits of its own */
        (void) fcntl(n->ours[index], F_SETPIPE_SZ, PROC_PIPE_BYTES);
    if (owner && fchown(n->child[index], owner->uid, owner->gid) < 0)
        return -errno;
    return fcntl(n->ours[index], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int ends_pipes(struct ends *n, const struct spawn_conf *c, bool own, struct err *e)
{
    const struct user *owner = own ? c->user : NULL;
    int r = 0;

    if (c->stdin_open) {
        r = ends_pipe(n, 0, true, owner);
    } else {
        n->child[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (n->child[0] < 0)
            return err_errno(e, "open '/dev/null'");
    }
    if (r == 0)
        r = ends_pipe(n, 1, false, owner);
    if (r == 0)
        r = ends_pipe(n, 2, false, owner);
    return r < 0 ? err_set(e, r, "make a pipe: %s", strerror(-r)) : 0;
}

static int ends_pty(struct ends *n, const struct spawn_conf *c, bool own, struct err *e)
{
    struct winsize size = {.ws_col = c->cols, .ws_row = c->rows};
    cleanup(fd_closep) int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    cleanup(fd_closep) int slave = -1;
    int unlock = 0;

    if (master < 0)
        return err_errno(e, "open a terminal");
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return err_errno(e, "unlock a terminal");
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return err_errno(e, "open a terminal's other side");
    if (ioctl(slave, TIOCSWINSZ, &size) < 0)
        return err_errno(e, "set a terminal's size");
    if (own && (fchown(slave, c->user->uid, TTY_GID) < 0 || fchmod(slave, 0620) < 0))
        return err_errno(e, "give a terminal to its user");
    for (int i = 0; i < 3; i++) {
        n->child[i] = i < 2 ? fcntl(slave, F_DUPFD_CLOEXEC, 3) : take_fd(&slave);
        if (n->child[i] < 0)
            return err_errno(e, "duplicate a terminal");
    }
    n->ours[0] = fcntl(master, F_DUPFD_CLOEXEC, 3);
    if (n->ours[0] < 0)
        return err_errno(e, "duplicate a terminal");
    n->ours[1] = take_fd(&master);
    return 0;
}

static char **spawn_argv(const struct spawn_conf *c)
{
    char **argv = xcalloc(c->arg_count + 3, sizeof(*argv));

    argv[1] = (char *) c->cmd;
    for (size_t i = 0; i < c->arg_count; i++)
        argv[i + 2] = c->args[i];
    return argv;
}

static pid_t spawn_child(const struct child *ch)
{
    sigset_t all, old;
    pid_t pid;

    /* No handler of ours may run in the child: it would write to the loop's descriptors. */
    sigfillset(&all);
    (void) sigprocmask(SIG_SETMASK, &all, &old);
    pid = spawn_fork(ch->conf->cgroup_fd);
    if (pid == 0)
        child_main(ch);
    int error = errno;

    (void) sigprocmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return pid;
}

int spawn(struct spawned *out, const struct spawn_conf *c, struct err *e)
{
    cleanup(ends_close) struct ends n = {{-1, -1, -1}, {-1, -1, -1}};
    cleanup(fd_closep) int status_read = -1;
    cleanup(fd_closep) int status_write = -1;
    cleanup(freep) char **argv = spawn_argv(c);
    bool root = geteuid() == 0;
    const char *path = env_get(c->env, "PATH");
    int r, p[2];

    if (!root && c->user->uid != geteuid())
        return err_set(e, -EPERM, "only root can start processes of another user");
    r = c->pty ? ends_pty(&n, c, root, e) : ends_pipes(&n, c, root, e);
    if (r < 0)
        return r;
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(e, "make a pipe");
    status_read = p[0];
    status_write = p[1];
    if (fcntl(status_read, F_SETFL, O_NONBLOCK) < 0)
        return err_errno(e, "prepare a pipe");
    struct child ch = {
        .conf = c,
        .argv = argv,
        .path = path ? path : ENV_PATH,
        .std = {n.child[0], n.child[1], n.child[2]},
        .status_fd = status_write,
        .switch_user = root,
    };
    pid_t pid = spawn_child(&ch);

    if (pid < 0)
        return err_errno(e, "start a process");
    *out = (struct spawned){
        .pid = pid,
        .status_fd = take_fd(&status_read),
        .in_fd = take_fd(&n.ours[0]),
        .out_fd = take_fd(&n.ours[1]),
        .err_fd = take_fd(&n.ours[2]),
    };
    return 0;
}

static const struct {
    int error;
    const char *code;
} exec_codes[] = {
    {ENOENT, "command_not_found"},   {ENOTDIR, "command_not_found"},       {ENAMETOOLONG, "command_not_found"},
    {ELOOP, "command_not_found"},    {EACCES, "permission_denied"},        {EPERM, "permission_denied"},
    {EISDIR, "permission_denied"},   {E2BIG, "argument_list_too_long"},    {ETXTBSY, "permission_denied"},
};

const char *spawn_error_code(const struct spawn_status *s)
{
    if (s->stage == SPAWN_CWD)
        return "invalid_cwd";
    if (s->stage == SPAWN_EXEC) {
        for (size_t i = 0; i < ARRAY_LEN(exec_codes); i++) {
            if (exec_codes[i].error == s->error)
                return exec_codes[i].code;
        }
    }
    return "start_failed";
}

void spawn_error_text(const struct spawn_status *s, const struct spawn_conf *c, char *out, size_t size)
{
    if (s->stage == SPAWN_CWD)
        snprintf(out, size, "cannot enter '%s': %s", c->cwd, strerror(s->error));
    else if (s->stage == SPAWN_EXEC && s->error == ENOENT && !strchr(c->cmd, '/'))
        snprintf(out, size, "'%s' is not in PATH", c->cmd);
    else if (s->stage == SPAWN_EXEC)
        snprintf(out, size, "cannot execute '%s': %s", c->cmd, strerror(s->error));
    else
        snprintf(out, size, "cannot start: %s", strerror(s->error));
}
