/* SPDX-License-Identifier: Apache-2.0 */
/* procs - see procs.h */
#include "dataplane/vmhost/priv/procs.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int procs_stat(pid_t pid, uint64_t *start_time, char *state)
{
    char path[32], text[1024], *p;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -ESRCH;
    n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return -ESRCH;
    text[n] = '\0';
    p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p || p[1] != ' ')
        return -ESRCH;
    *state = p[2];
    /* after the name come fields 3 (state), 4 ...; the start time is field 22 */
    p += 2;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p)
            return -ESRCH;
        p++;
    }
    *start_time = strtoull(p, NULL, 10);
    return 0;
}

int procs_each(uid_t first, uint32_t count, procs_fn *fn, void *arg)
{
    DIR *d = opendir("/proc");
    struct dirent *entry;

    if (!d)
        return -errno;
    while ((entry = readdir(d))) {
        uint64_t pid, start;
        struct stat st;
        char state;

        if (str_to_u64(entry->d_name, &pid) < 0 || pid < 2 || pid > INT32_MAX)
            continue;
        if (fstatat(dirfd(d), entry->d_name, &st, 0) < 0 || st.st_uid < first || st.st_uid - first >= count)
            continue;
        if (procs_stat((pid_t) pid, &start, &state) < 0 || state == 'Z' || state == 'X')
            continue;
        fn(arg, (pid_t) pid, st.st_uid);
    }
    closedir(d);
    return 0;
}

static int procs_uid(pid_t pid, uid_t *uid)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d", (int) pid);
    if (stat(path, &st) < 0)
        return -ESRCH;
    *uid = st.st_uid;
    return 0;
}

/* The pidfd is opened first: what is read afterwards is of that process, or of none if it has ended meanwhile. */
int procs_pidfd(pid_t pid, uid_t uid, uint64_t start_time, int *pidfd)
{
    cleanup(fd_closep) int fd = (int) syscall(SYS_pidfd_open, pid, 0);
    uint64_t start;
    uid_t owner;
    char state;

    if (fd < 0)
        return errno == EINVAL ? -ESRCH : -errno;
    if (procs_stat(pid, &start, &state) < 0 || procs_uid(pid, &owner) < 0)
        return -ESRCH;
    if (start != start_time || owner != uid || state == 'Z' || state == 'X')
        return -ESRCH;
    if (procs_kill(fd, 0) < 0)
        return -ESRCH;
    *pidfd = take_fd(&fd);
    return 0;
}

int procs_kill(int pidfd, int signo)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}
