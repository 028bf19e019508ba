/* SPDX-License-Identifier: Apache-2.0 */
/* qemu_spawn - see qemu_spawn.h */
#include "dataplane/vmhost/priv/qemu_spawn.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "dataplane/vmhost/priv/jail.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { SPAWN_HIGH_FD = 64, SPAWN_DEADLINE_MS = 10000, SPAWN_NOFILE = 1024 };

int cell_drop(uid_t uid, struct err *e)
{
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return err_errno(e, "drop capability %d", cap);
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_errno(e, "become uid %u", uid);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(e, "set no_new_privs");
    if (setuid(0) == 0 || setgid(0) == 0)
        return err_set(e, -EPERM, "root could be regained");
    return 0;
}

static int spawn_enter_cgroup(const struct qemu_spawn *s, struct err *e)
{
    for (unsigned i = 0; i < s->procs_count; i++)
        if (write(s->procs[i], "0", 1) != 1)
            return err_errno(e, "enter the cgroup");
    return 0;
}

/* If memory runs out on the machine, a guest dies before the services do. */
static void spawn_set_oom(void)
{
    cleanup(fd_closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void) !write(fd, "300", 3); /* a preference only */
}

static int spawn_set_limits(const struct qemu_spawn *s, struct err *e)
{
    const struct rlimit core = {0, 0}, files = {SPAWN_NOFILE, SPAWN_NOFILE};
    const struct rlimit size = {s->file_bytes_max, s->file_bytes_max};

    if (setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_errno(e, "set limits");
    if (s->file_bytes_max && setrlimit(RLIMIT_FSIZE, &size) < 0)
        return err_errno(e, "limit the size of files");
    return 0;
}

/* Each descriptor to its number, everything else closed. The error pipe is closed by exec(). */
static int spawn_place_fds(const struct qemu_spawn *s, int *err_fd, struct err *e)
{
    int high[QEMU_FD_END], null, said, pipe_fd;

    for (int i = QEMU_FD_QMP; i < QEMU_FD_END; i++) {
        high[i] = s->fds[i] < 0 ? -1 : fcntl(s->fds[i], F_DUPFD_CLOEXEC, SPAWN_HIGH_FD);
        if (s->fds[i] >= 0 && high[i] < 0)
            return err_errno(e, "move a descriptor");
    }
    said = fcntl(s->stderr_fd, F_DUPFD_CLOEXEC, SPAWN_HIGH_FD);
    pipe_fd = fcntl(*err_fd, F_DUPFD_CLOEXEC, SPAWN_HIGH_FD);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (said < 0 || pipe_fd < 0 || null < 0)
        return err_errno(e, "move the standard descriptors");
    *err_fd = pipe_fd;
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(said, 2) < 0)
        return err_errno(e, "set the standard descriptors");
    for (int i = QEMU_FD_QMP; i < QEMU_FD_END; i++) {
        if (high[i] < 0)
            close(i);
        else if (dup2(high[i], i) < 0)
            return err_errno(e, "place descriptor %d", i);
    }
    if (syscall(SYS_close_range, QEMU_FD_END, pipe_fd - 1, 0) < 0 || syscall(SYS_close_range, pipe_fd + 1, ~0u, 0) < 0)
        return err_errno(e, "close the other descriptors");
    return 0;
}

static void spawn_reset_signals(void)
{
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int spawn_child(const struct qemu_spawn *s, const struct qemu_argv *argv, int *err_fd, struct err *e)
{
    char preload[64] = "LD_PRELOAD=" JAIL_SHIM, ram[32], arenas[32] = "MALLOC_ARENA_MAX=2";
    char *envp[] = {arenas, NULL, NULL, NULL};

    snprintf(ram, sizeof(ram), "BIV_RAM_FD=%d", QEMU_FD_RAM);
    if (s->fds[QEMU_FD_RAM] >= 0) {
        envp[1] = preload;
        envp[2] = ram;
    }
    spawn_reset_signals();
    spawn_set_oom();
    if (spawn_enter_cgroup(s, e) < 0)
        return e->code;
    if (setns(s->jail, CLONE_NEWNS) < 0)
        return err_errno(e, "enter the cell");
    if (spawn_place_fds(s, err_fd, e) < 0)
        return e->code;
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return err_errno(e, "make empty namespaces");
    if (setsid() < 0 || spawn_set_limits(s, e) < 0)
        return err_errno(e, "leave the session");
    if (cell_drop(s->uid, e) < 0)
        return e->code;
    execve(s->spec->program, argv->argv, envp);
    return err_errno(e, "start %s", s->spec->program);
}

/* Reads what the child says until exec() closes the pipe. */
static int spawn_wait(pid_t pid, int fd, struct err *e)
{
    char said[300];
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;
        int r = poll(&p, 1, SPAWN_DEADLINE_MS);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            kill(pid, SIGKILL);
            return err_set(e, -ETIMEDOUT, "QEMU did not start in time");
        }
        n = read(fd, said + len, sizeof(said) - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t) n;
    }
    said[len] = '\0';
    return len ? err_set(e, -EIO, "%s", said) : 0;
}

int qemu_spawn(const struct qemu_spawn *s, pid_t *out, struct err *e)
{
    struct qemu_argv argv;
    int pipe_fds[2], r;
    pid_t pid;

    qemu_argv_build(s->spec, &argv);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, "make a pipe");
    pid = fork();
    if (pid == 0) {
        struct err why = ERR_INIT;
        int fd = pipe_fds[1];

        (void) spawn_child(s, &argv, &fd, &why); /* returns on failure only */
        (void) !fd_write_all(fd, why.text, strlen(why.text));
        _exit(127);
    }
    close(pipe_fds[1]);
    if (pid < 0) {
        r = err_errno(e, "start a process");
        close(pipe_fds[0]);
        return r;
    }
    r = spawn_wait(pid, pipe_fds[0], e);
    close(pipe_fds[0]);
    if (r < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return r;
    }
    *out = pid;
    return 0;
}
