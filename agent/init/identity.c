/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity - files are written without fsync (they are written anew at every start) and only when they would change. A full or read-only
 * disk must not keep a machine from waking up: then a file in memory is mounted over the one on disk.
 */
#include "agent/init/identity.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define SHADOW_DIR "/run/bivouac/etc"

enum { ETC_BYTES_MAX = 256 * KIB, ENTROPY_MAX = 256 };

int identity_add_entropy(const void *p, size_t len, struct err *e)
{
    union { /* struct rand_pool_info ends with an array without a size */
        struct rand_pool_info info;
        uint8_t room[sizeof(struct rand_pool_info) + ENTROPY_MAX];
    } pool = {.info = {.entropy_count = (int) len * 8, .buf_size = (int) len}};
    cleanup(fd_closep) int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    int r;

    if (fd < 0)
        return err_errno(e, "open '/dev/urandom'");
    if (len > ENTROPY_MAX)
        return err_set(e, -EINVAL, "too much entropy at once");
    memcpy(pool.room + sizeof(struct rand_pool_info), p, len);
    r = ioctl(fd, RNDADDENTROPY, &pool.info) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0 ? err_errno(e, "add entropy") : 0;
    mem_wipe(&pool, sizeof(pool));
    return r;
}

int identity_set_clock(int64_t unix_ns, struct err *e)
{
    const struct timespec ts = {.tv_sec = unix_ns / 1000000000, .tv_nsec = unix_ns % 1000000000};

    return clock_settime(CLOCK_REALTIME, &ts) < 0 ? err_errno(e, "set the clock") : 0;
}

bool hostname_ok(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");

    return len >= 1 && len <= 64 && !name[len] && name[0] != '-' && name[0] != '.';
}

bool machine_id_ok(const char *id)
{
    return strspn(id, "0123456789abcdef") == 32 && !id[32];
}

/* ---- files in /etc ---- */

/* Never follows what a user may have put there into something that blocks. */
static int etc_read(const char *path, struct buf *out)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    for (;;) {
        uint8_t *p = buf_reserve(out, 4096);
        ssize_t n = p ? read(fd, p, 4096) : -1;

        if (!p)
            return -EFBIG;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        buf_commit(out, (size_t) n);
    }
}

static int etc_write_new(const char *path, const void *p, size_t len)
{
    char temp[64];
    int r;

    snprintf(temp, sizeof(temp), "%s.bivouac", path);
    (void) unlink(temp);
    cleanup(fd_closep) int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0)
        return -errno;
    r = fd_write_all(fd, p, len);
    if (r == 0 && (fchmod(fd, 0644) < 0 || rename(temp, path) < 0))
        r = -errno;
    if (r < 0)
        (void) unlink(temp);
    return r;
}

/* A mount from an earlier shadow must go, or the rename below it is not seen (and fails). */
static int etc_shadow(const char *path, const char *name, const void *p, size_t len)
{
    char shadow[64];
    int r;

    if (mkdir(SHADOW_DIR, 0755) < 0 && errno != EEXIST)
        return -errno;
    snprintf(shadow, sizeof(shadow), SHADOW_DIR "/%s", name);
    r = etc_write_new(shadow, p, len);
    if (r < 0)
        return r;
    return mount(shadow, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int etc_put(const char *name, const void *p, size_t len, struct err *e)
{
    cleanup(buf_deinit) struct buf old = BUF_INIT(ETC_BYTES_MAX);
    char path[64];
    int r;

    snprintf(path, sizeof(path), "/etc/%s", name);
    if (etc_read(path, &old) == 0 && old.len == len && memcmp(buf_data(&old), p, len) == 0)
        return 0;
    (void) umount2(path, MNT_DETACH); /* an earlier shadow; an error when there is none */
    r = etc_write_new(path, p, len);
    if (r == -ENOSPC || r == -EROFS || r == -EDQUOT)
        r = etc_shadow(path, name, p, len);
    return r < 0 ? err_set(e, r, "write '%s': %s", path, strerror(-r)) : 0;
}

static bool hosts_line_is_own(const char *p, size_t len)
{
    static const char own[] = "127.0.1.1";
    size_t n = sizeof(own) - 1;

    return len > n && memcmp(p, own, n) == 0 && (p[n] == ' ' || p[n] == '\t');
}

int hosts_rewrite(struct buf *out, const void *old, size_t len, const char *name)
{
    const char *p = old, *end = p + len;
    int r = buf_printf(out, "127.0.1.1 %s\n", name);

    while (p < end && r == 0) {
        const char *nl = memchr(p, '\n', (size_t) (end - p));
        size_t n = nl ? (size_t) (nl - p) + 1 : (size_t) (end - p);

        if (!hosts_line_is_own(p, n))
            r = buf_append(out, p, n);
        p += n;
    }
    return r;
}

static int hosts_put(const char *name, struct err *e)
{
    static const char plain[] = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
    cleanup(buf_deinit) struct buf old = BUF_INIT(ETC_BYTES_MAX);
    cleanup(buf_deinit) struct buf text = BUF_INIT(2 * ETC_BYTES_MAX);
    int r = etc_read("/etc/hosts", &old);

    if (r == -ENOENT)
        r = buf_append_str(&old, plain);
    if (r == 0)
        r = hosts_rewrite(&text, old.len ? buf_data(&old) : (uint8_t *) "", old.len, name);
    if (r < 0)
        return err_set(e, r, "read '/etc/hosts': %s", strerror(-r));
    return etc_put("hosts", buf_data(&text), text.len, e);
}

int identity_set_hostname(const char *name, struct err *e)
{
    char line[80];
    int r;

    if (sethostname(name, strlen(name)) < 0)
        return err_errno(e, "set the host name");
    snprintf(line, sizeof(line), "%s\n", name);
    r = etc_put("hostname", line, strlen(line), e);
    if (r < 0)
        return r;
    struct err hosts = ERR_INIT;

    /* Not identity: whatever a user has made of this file must not keep the machine from waking up. */
    if (hosts_put(name, &hosts) < 0)
        log_warn(NULL, "could not put the host name into /etc/hosts, ignoring", "reason", hosts.text);
    return 0;
}

int identity_set_machine_id(const char *id, struct err *e)
{
    char line[40];

    snprintf(line, sizeof(line), "%s\n", id);
    return etc_put("machine-id", line, strlen(line), e);
}
