/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - see metrics.h
 * Metrics of one name (they differ in labels) are kept together, in the order of their registration: the text format wants
 * one HELP and TYPE for them and no other name in between.
 */
#include "common/metrics/metrics.h"
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/metrics/metrics_internal.h"
#include <assert.h>
#include <inttypes.h>

static struct list metrics_all = LIST_INIT(metrics_all);

/* Upper bounds; the last bucket is the rest. */
static const uint64_t metrics_bounds_us[METRIC_BUCKETS - 1] = {
    100, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000, 30000000,
};

void metrics_register(struct metric *m)
{
    struct list *after = metrics_all.prev;

    assert(!list_linked(&m->node));
    LIST_FOR_EACH (n, &metrics_all) {
        struct metric *other = LIST_ENTRY(n, struct metric, node);

        if (str_eq(other->name, m->name)) {
            assert(other->kind == m->kind && !str_eq(other->labels, m->labels));
            after = n;
        }
    }
    list_insert_(&m->node, after, after->next);
}

void metric_observe_us(struct metric *m, uint64_t us)
{
    size_t i = 0;

    while (i < METRIC_BUCKETS - 1 && us > metrics_bounds_us[i])
        i++;
    m->buckets[i]++;
    m->sum_us += us;
    m->count++;
}

static int write_head(struct buf *out, const struct metric *m)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help ? m->help : m->name, m->name, kinds[m->kind]);
}

static int write_value(struct buf *out, const struct metric *m)
{
    const char *open = m->labels ? "{" : "", *labels = m->labels ? m->labels : "", *close = m->labels ? "}" : "";

    return buf_printf(out, "%s%s%s%s %" PRId64 "\n", m->name, open, labels, close, m->value);
}

static int write_bucket(struct buf *out, const struct metric *m, size_t i, uint64_t below)
{
    const char *labels = m->labels ? m->labels : "", *comma = m->labels ? "," : "";

    if (i == METRIC_BUCKETS - 1)
        return buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", m->name, labels, comma, below);
    return buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", m->name, labels, comma,
                      (double) metrics_bounds_us[i] / 1e6, below);
}

static int write_histogram(struct buf *out, const struct metric *m)
{
    const char *open = m->labels ? "{" : "", *labels = m->labels ? m->labels : "", *close = m->labels ? "}" : "";
    uint64_t below = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < METRIC_BUCKETS; i++) {
        below += m->buckets[i];
        r = write_bucket(out, m, i, below);
    }
    if (r == 0)
        r = buf_printf(out, "%s_sum%s%s%s %" PRIu64 ".%06" PRIu64 "\n", m->name, open, labels, close,
                       m->sum_us / 1000000, m->sum_us % 1000000);
    if (r == 0)
        r = buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", m->name, open, labels, close, m->count);
    return r;
}

int metrics_write(struct buf *out)
{
    const char *name = NULL;
    int r = 0;

    LIST_FOR_EACH (n, &metrics_all) {
        const struct metric *m = LIST_ENTRY(n, struct metric, node);

        if (!str_eq(m->name, name))
            r = write_head(out, m);
        name = m->name;
        if (r == 0)
            r = m->kind == METRIC_HISTOGRAM ? write_histogram(out, m) : write_value(out, m);
        if (r < 0)
            return r;
    }
    return metrics_write_process(out);
}
