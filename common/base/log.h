/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log - one JSON object a line on a file descriptor (default 2).
 *
 *     log_info(&ctx, "sandbox started", "sandbox", id, "boot_ms", LOG_U64(ms));
 *
 * Constant message and pairs of strings; values are escaped, cut at 1 KiB. ctx (may be NULL) adds request, sandbox, team.
 * A secret never comes here: struct secret has no printer. Callers log, library code returns errors.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/attr.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_ctx {
    const char *request; /* borrowed, may be NULL */
    const char *sandbox;
    const char *team;
};

struct log_num {
    char text[24];
};
struct log_num log_num_u64(uint64_t v);
struct log_num log_num_i64(int64_t v);
#define LOG_U64(v) (log_num_u64(v).text)
#define LOG_I64(v) (log_num_i64(v).text)

void log_init(const char *program, int fd, enum log_level min);
int log_level_parse(const char *s, enum log_level *out) must_check;
bool log_enabled(enum log_level level);
/* Pairs end with NULL; a NULL value is written as null. Use the macros. */
void log_write(enum log_level level, const char *file, int line, const struct log_ctx *ctx, const char *msg, ...)
    __attribute__((sentinel));

#define log_at_(level, ctx, ...)                                                                   \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_write(level, __FILE__, __LINE__, ctx, __VA_ARGS__, NULL);                          \
    } while (0)
#define log_debug(ctx, ...) log_at_(LOG_DEBUG, ctx, __VA_ARGS__)
#define log_info(ctx, ...) log_at_(LOG_INFO, ctx, __VA_ARGS__)
#define log_warn(ctx, ...) log_at_(LOG_WARN, ctx, __VA_ARGS__)
#define log_error(ctx, ...) log_at_(LOG_ERROR, ctx, __VA_ARGS__)

/* At most `burst` lines a minute from this place:  if (log_allow(&limit)) log_warn(...) */
struct log_limit {
    uint64_t window_ms;
    uint32_t burst, count, dropped;
};
#define LOG_LIMIT_INIT(n) {.burst = (n)}
#define log_allow(l) log_allow_at(l, __FILE__, __LINE__)
bool log_allow_at(struct log_limit *l, const char *file, int line); /* tells how many were dropped when the minute is over */
