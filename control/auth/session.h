/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* session - how long a session token lives. */
#include <stdint.h>

enum { SESSION_AFTER_DEADLINE_S = 600, SESSION_MIN_S = 3600, SESSION_MAX_S = 86400 };

/* Until 10 minutes past the sandbox's deadline, at least 1 h, at most 24 h from now. Unix seconds.
 */
int64_t session_expiry(int64_t now_s, int64_t deadline_s);
