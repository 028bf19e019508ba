/* SPDX-License-Identifier: Apache-2.0 */
/* test_metrics - the text format: one head a name, cumulative buckets, the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/metrics/metrics.h"

static struct metric ok = {.name = "t_requests_total", .labels = "class=\"2xx\"", .help = "Requests.", .kind = METRIC_COUNTER};
static struct metric gauge = {.name = "t_open", .help = "Open ones.", .kind = METRIC_GAUGE};
static struct metric failed = {.name = "t_requests_total", .labels = "class=\"5xx\"", .help = "Requests.", .kind = METRIC_COUNTER};
static struct metric took = {.name = "t_seconds", .help = "Time.", .kind = METRIC_HISTOGRAM};
static struct metric took_b = {.name = "t_seconds", .labels = "op=\"b\"", .help = "Time.", .kind = METRIC_HISTOGRAM};

static int setup(void **state)
{
    (void) state;
    metrics_register(&ok);
    metrics_register(&gauge);
    metrics_register(&failed);
    metrics_register(&took);
    metrics_register(&took_b);
    return 0;
}

static void test_counters_and_gauges(void **state)
{
    struct buf out = BUF_INIT(0);

    (void) state;
    metric_add(&ok, 3);
    metric_add(&ok, 1);
    metric_set(&gauge, -7);
    assert_int_equal(metrics_write(&out), 0);
    assert_ptr_equal(strstr(buf_cstr(&out), "# HELP t_requests_total Requests.\n# TYPE t_requests_total counter\n"
                                            "t_requests_total{class=\"2xx\"} 4\nt_requests_total{class=\"5xx\"} 0\n"
                                            "# HELP t_open Open ones.\n# TYPE t_open gauge\nt_open -7\n"),
                     buf_cstr(&out));
    buf_deinit(&out);
}

static void test_histogram(void **state)
{
    struct buf out = BUF_INIT(0);

    (void) state;
    metric_observe_us(&took, 0);
    metric_observe_us(&took, 100);
    metric_observe_us(&took, 101);
    metric_observe_us(&took, 1500000);
    metric_observe_us(&took, 40000000);
    metric_observe_us(&took_b, 1);
    assert_int_equal(metrics_write(&out), 0);
    const char *text = buf_cstr(&out);

    assert_non_null(strstr(text, "# TYPE t_seconds histogram\nt_seconds_bucket{le=\"0.0001\"} 2\n"
                                 "t_seconds_bucket{le=\"0.0005\"} 3\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"5\"} 4\nt_seconds_bucket{le=\"30\"} 4\n"
                                 "t_seconds_bucket{le=\"+Inf\"} 5\nt_seconds_sum 41.500201\nt_seconds_count 5\n"
                                 "t_seconds_bucket{op=\"b\",le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(text, "t_seconds_sum{op=\"b\"} 0.000001\nt_seconds_count{op=\"b\"} 1\n"));
    buf_deinit(&out);
}

static double value_of(const char *text, const char *name)
{
    char line[100];
    double v = -1;

    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);

    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(line), "%lf", &v), 1);
    return v;
}

static void test_process(void **state)
{
    struct buf out = BUF_INIT(0);

    (void) state;
    assert_int_equal(metrics_write(&out), 0);
    const char *text = buf_cstr(&out);

    assert_true(value_of(text, "process_resident_memory_bytes") > 100000);
    assert_true(value_of(text, "process_virtual_memory_bytes") > 100000);
    assert_true(value_of(text, "process_start_time_seconds") > 1600000000);
    assert_true(value_of(text, "process_cpu_seconds_total") >= 0);
    assert_in_range(value_of(text, "process_open_fds"), 3, 100);
    buf_deinit(&out);
}

static void test_full(void **state)
{
    (void) state;
    for (size_t max = 1; max < 2000; max += 13) {
        struct buf out = BUF_INIT(max);

        assert_int_equal(metrics_write(&out), -ENOBUFS);
        buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_and_gauges),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
