/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/init/cgroup.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include "common/base/cleanup.h"
#include "common/base/err.h"

enum { PIDS_RESERVE = 512 };

static int user_fd = -1, files_fd = -1;

static int cgroup_write(const char *group, const char *file, const char *text, struct err *e)
{
    char path[128];

    snprintf(path, sizeof(path), CGROUP_ROOT "/%s%s%s", group, *group ? "/" : "", file);
    cleanup(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "open '%s'", path);
    if (write(fd, text, strlen(text)) < 0)
        return err_errno(e, "write '%s' to '%s'", text, path);
    return 0;
}

static int cgroup_make(const char *group, int *fd, struct err *e)
{
    char path[128];

    snprintf(path, sizeof(path), CGROUP_ROOT "/%s", group);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return err_errno(e, "make '%s'", path);
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? err_errno(e, "open '%s'", path) : 0;
}

static uint64_t threads_max(void)
{
    cleanup(fd_closep) int fd = open("/proc/sys/kernel/threads-max", O_RDONLY | O_CLOEXEC);
    char text[32] = {0};

    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return 0;
    return strtoull(text, NULL, 10);
}

/* What a small machine leaves to users is never less than half. */
static int cgroup_limits(uint64_t reserve_bytes, struct err *e)
{
    struct sysinfo si;
    char text[32];
    uint64_t total, threads = threads_max();

    if (sysinfo(&si) < 0)
        return err_errno(e, "read the size of the memory");
    total = (uint64_t) si.totalram * si.mem_unit;
    if (total > 2 * reserve_bytes) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long) (total - reserve_bytes));
        int r = cgroup_write("user", "memory.max", text, e);

        if (r < 0)
            return r;
    }
    if (threads > 4 * PIDS_RESERVE) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long) (threads - PIDS_RESERVE));
        int r = cgroup_write("user", "pids.max", text, e);

        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_setup(uint64_t reserve_bytes, struct err *e)
{
    static const struct {
        const char *group, *file, *text;
    } settings[] = {
        {"", "cgroup.subtree_control", "+cpu"},
        {"", "cgroup.subtree_control", "+memory"},
        {"", "cgroup.subtree_control", "+pids"},
        {"agent", "cpu.weight", "10000"},
        {"files", "cpu.weight", "200"},
        {"user", "cpu.weight", "100"},
    };
    char self[16];
    int agent_fd = -1;
    int r = cgroup_make("agent", &agent_fd, e);

    r = r < 0 ? r : cgroup_make("files", &files_fd, e);
    r = r < 0 ? r : cgroup_make("user", &user_fd, e);
    fd_closep(&agent_fd);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(settings); i++)
        r = cgroup_write(settings[i].group, settings[i].file, settings[i].text, e);
    r = r < 0 ? r : cgroup_limits(reserve_bytes, e);
    snprintf(self, sizeof(self), "%d", (int) getpid());
    return r < 0 ? r : cgroup_write("agent", "cgroup.procs", self, e);
}

int cgroup_user_fd(void)
{
    return user_fd;
}

int cgroup_files_fd(void)
{
    return files_fd;
}

bool cgroup_present(void)
{
    return user_fd >= 0;
}

int cgroup_freeze_begin(struct err *e)
{
    return cgroup_present() ? cgroup_write("user", "cgroup.freeze", "1", e) : 0;
}

int cgroup_thaw(struct err *e)
{
    return cgroup_present() ? cgroup_write("user", "cgroup.freeze", "0", e) : 0;
}

bool cgroup_frozen(void)
{
    cleanup(fd_closep) int fd = open(CGROUP_ROOT "/user/cgroup.events", O_RDONLY | O_CLOEXEC);
    char text[128];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (n <= 0)
        return false;
    text[n] = '\0';
    return strstr(text, "frozen 1") != NULL;
}

int cgroup_events_open(void)
{
    int fd = open(CGROUP_ROOT "/user/cgroup.events", O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* Groups that users have made below ours are theirs to keep: cgroup.kill reaches them, a list of pids does not. */
unsigned cgroup_user_signal(int signo)
{
    FILE *f;
    unsigned count = 0;
    int pid;

    if (!cgroup_present())
        return 0;
    if (signo == SIGKILL)
        (void) cgroup_write("user", "cgroup.kill", "1", NULL);
    f = fopen(CGROUP_ROOT "/user/cgroup.procs", "re");
    if (!f)
        return 0;
    while (fscanf(f, "%d", &pid) == 1) {
        if (pid > 1 && kill(pid, signo) == 0)
            count++;
    }
    fclose(f);
    return count;
}
