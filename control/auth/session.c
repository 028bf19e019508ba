/* SPDX-License-Identifier: Apache-2.0 */
/* session - see session.h. */
#include "control/auth/session.h"

int64_t session_expiry(int64_t now_s, int64_t deadline_s)
{
    int64_t at = deadline_s + SESSION_AFTER_DEADLINE_S;

    if (at < now_s + SESSION_MIN_S)
        at = now_s + SESSION_MIN_S;
    if (at > now_s + SESSION_MAX_S)
        at = now_s + SESSION_MAX_S;
    return at;
}
