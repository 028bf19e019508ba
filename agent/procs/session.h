/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* session - signals to a process, or to its process group and everything else in its session (jobs of a shell have their own groups). */
#include <stdbool.h>
#include <sys/types.h>

/* pid is a session leader that has not been waited for. */
void session_kill(pid_t pid, int signo, bool group);

/* "SIGTERM", "TERM" (any case) or "15"; 0 when there is no such signal (1..64). */
int signal_number(const char *text);
