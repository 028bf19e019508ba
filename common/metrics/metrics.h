/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * metrics - counters, gauges and histograms of one process, written as Prometheus text.
 * Static registration: define at file scope, register once. Loop thread only.
 */
#include <stdint.h>
#include "common/base/attr.h"
#include "common/base/list.h"

struct buf;

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_BUCKETS = 14 };

struct metric {
    const char *name;   /* "bivouac_gateway_requests_total" */
    const char *labels; /* "class=\"2xx\"" or NULL */
    const char *help;
    enum metric_kind kind;
    int64_t value;                    /* counter, gauge */
    uint64_t buckets[METRIC_BUCKETS]; /* histogram of microseconds */
    uint64_t sum_us, count;
    struct list node;                 /* private */
};

void metrics_register(struct metric *m);
static inline void metric_add(struct metric *m, int64_t n)
{
    m->value += n;
}
static inline void metric_set(struct metric *m, int64_t v)
{
    m->value = v;
}
void metric_observe_us(struct metric *m, uint64_t us);
/* All registered metrics plus process_* (rss, fds, cpu, start time). */
int metrics_write(struct buf *out) must_check;
