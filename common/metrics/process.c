/* SPDX-License-Identifier: Apache-2.0 */
/* process - process_* metrics from /proc/self and the clocks. */
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/metrics/metrics_internal.h"
#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

enum { STAT_START_TIME = 22 }; /* number of the field in /proc/PID/stat; size and RSS follow */

struct process_stat {
    uint64_t start_ticks, vsize_bytes, rss_pages;
};

/* The decimal number after spaces at *p; moves on. */
static bool take_number(const char **p, uint64_t *out)
{
    size_t len;

    *p += strspn(*p, " ");
    len = strspn(*p, "0123456789");
    if (str_to_u64_n(*p, len, 10, out) < 0)
        return false;
    *p += len;
    return true;
}

/* The fields after the command, which is in parentheses and may hold anything. */
static bool stat_parse(const char *text, struct process_stat *out)
{
    const char *p = strrchr(text, ')');
    int field = 2;

    while (p && field < STAT_START_TIME) {
        p = strchr(p + 1, ' ');
        field++;
    }
    return p && take_number(&p, &out->start_ticks) && take_number(&p, &out->vsize_bytes) && take_number(&p, &out->rss_pages);
}

static bool stat_read(struct process_stat *out)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(4 * KIB);

    if (file_read("/proc/self/stat", 4 * KIB - 1, &text, NULL) < 0)
        return false;
    const char *s = buf_cstr(&text);

    return s && stat_parse(s, out);
}

static uint64_t boot_time_s(void)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(MIB);
    const char *s = file_read("/proc/stat", MIB - 1, &text, NULL) == 0 ? buf_cstr(&text) : NULL;
    const char *line = s ? strstr(s, "\nbtime ") : NULL;
    uint64_t v = 0;

    if (line)
        line += strlen("\nbtime ");
    return line && take_number(&line, &v) ? v : 0;
}

static int64_t open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int64_t n = 0;

    if (!d)
        return -1;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 3; /* ".", ".." and the folder itself */
}

static double cpu_seconds(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) < 0)
        return 0;
    return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int write_one(struct buf *out, const char *name, const char *kind, const char *help, double v)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, kind, name, v);
}

static int write_stat(struct buf *out)
{
    static double started; /* the same on every call: btime jitters by a second */
    struct process_stat st;
    int r;

    if (!stat_read(&st))
        return 0;
    if (started == 0 && boot_time_s())
        started = (double) boot_time_s() + (double) st.start_ticks / (double) sysconf(_SC_CLK_TCK);
    r = write_one(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                  (double) st.rss_pages * (double) sysconf(_SC_PAGESIZE));
    if (r == 0)
        r = write_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.", (double) st.vsize_bytes);
    if (r == 0 && started > 0)
        r = write_one(out, "process_start_time_seconds", "gauge", "Start, in seconds since 1970.", started);
    return r;
}

int metrics_write_process(struct buf *out)
{
    int64_t fds = open_fds();
    struct rlimit limit;
    int r = write_stat(out);

    if (r == 0)
        r = write_one(out, "process_cpu_seconds_total", "counter", "User and system CPU time.", cpu_seconds());
    if (r == 0 && fds >= 0)
        r = write_one(out, "process_open_fds", "gauge", "Open descriptors.", (double) fds);
    if (r == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        r = write_one(out, "process_max_fds", "gauge", "Limit of open descriptors.", (double) limit.rlim_cur);
    return r;
}
