/* SPDX-License-Identifier: Apache-2.0 */
/* err - see err.h */
#include "common/base/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void err_put(struct err *e, int code, const char *tail, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

/* "<formatted>" or "<formatted>: <tail>", cut to the room there is. */
static void err_put(struct err *e, int code, const char *tail, const char *fmt, va_list ap)
{
    int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);

    if (n < 0)
        n = 0;
    if (tail && (size_t) n < sizeof(e->text) - 1)
        snprintf(e->text + n, sizeof(e->text) - (size_t) n, ": %s", tail);
    e->code = code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return code;
    va_start(ap, fmt);
    err_put(e, code, NULL, fmt, ap);
    va_end(ap);
    return code;
}

int err_errno(struct err *e, const char *fmt, ...)
{
    int saved = errno ? errno : EIO;
    char why[128];
    va_list ap;

    if (!e)
        return -saved;
    va_start(ap, fmt);
    err_put(e, -saved, strerror_r(saved, why, sizeof(why)), fmt, ap);
    va_end(ap);
    return -saved;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
    char inner[sizeof(e->text)];
    va_list ap;

    if (!e)
        return code;
    snprintf(inner, sizeof(inner), "%s", err_text(e, code));
    va_start(ap, fmt);
    err_put(e, code, inner, fmt, ap);
    va_end(ap);
    return code;
}

const char *err_text(const struct err *e, int code)
{
    static __thread char text[128];

    if (e && e->text[0])
        return e->text;
    if (code < 0)
        return strerror_r(-code, text, sizeof(text));
    snprintf(text, sizeof(text), "outcome %d", code);
    return text;
}
