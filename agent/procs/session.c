/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/procs/session.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "common/base/attr.h"
#include "common/base/cleanup.h"
#include "common/base/str.h"

/* pgid and session of a process, by /proc/PID/stat: "pid (name) state ppid pgrp session ..." - the name may hold anything. */
static bool stat_read(pid_t pid, pid_t *pgrp, pid_t *session)
{
    char path[32], text[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *paren = strrchr(text, ')');

    return paren && sscanf(paren + 1, " %*c %*d %d %d", pgrp, session) == 2;
}

/* Other groups of the session. New ones may appear while we look: a killing signal looks again until there are none. */
static unsigned session_kill_others(pid_t leader, int signo)
{
    DIR *d = opendir("/proc");
    unsigned found = 0;
    struct dirent *e;

    if (!d)
        return 0;
    while ((e = readdir(d))) {
        pid_t pid = (pid_t) strtol(e->d_name, NULL, 10), pgrp, session;

        if (!isdigit((unsigned char) e->d_name[0]) || pid == leader)
            continue;
        if (stat_read(pid, &pgrp, &session) && session == leader && pgrp != leader && kill(pid, signo) == 0)
            found++;
    }
    closedir(d);
    return found;
}

void session_kill(pid_t pid, int signo, bool group)
{
    enum { LOOKS_MAX = 4 };

    if (!group) {
        (void) kill(pid, signo);
        return;
    }
    /* The others first: the leader of a terminal takes the session with it. */
    for (int i = 0; session_kill_others(pid, signo) && signo == SIGKILL && i < LOOKS_MAX; i++)
        ;
    if (kill(-pid, signo) < 0)
        (void) kill(pid, signo); /* it has no group of its own yet */
}

static const struct {
    const char *name;
    int number;
} signal_names[] = {
    {"HUP", SIGHUP},     {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ILL", SIGILL},       {"TRAP", SIGTRAP},   {"ABRT", SIGABRT},
    {"IOT", SIGABRT},    {"BUS", SIGBUS},   {"FPE", SIGFPE},   {"KILL", SIGKILL},     {"USR1", SIGUSR1},   {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2},   {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM},     {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},
    {"CLD", SIGCHLD},    {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},     {"TTIN", SIGTTIN},   {"TTOU", SIGTTOU},
    {"URG", SIGURG},     {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF},   {"WINCH", SIGWINCH},
    {"IO", SIGIO},       {"POLL", SIGIO},   {"PWR", SIGPWR},   {"SYS", SIGSYS},
};

int signal_number(const char *text)
{
    uint64_t n;

    if (str_to_u64(text, &n) == 0)
        return n >= 1 && n <= 64 ? (int) n : 0;
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (size_t i = 0; i < ARRAY_LEN(signal_names); i++) {
        if (str_eq_nocase(text, signal_names[i].name))
            return signal_names[i].number;
    }
    return 0;
}
