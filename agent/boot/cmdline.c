/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmdline - the host hands the first token over on the kernel command line, which any user may read. So, before there are users, a copy
 * without it is mounted over /proc/cmdline. The kernel log has it too; only root may read that (kernel.dmesg_restrict).
 * After the first init the token is worth nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/boot/boot.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"

#define TOKEN_NAME "bivouac.boot="
#define COPY_PATH "/run/bivouac/cmdline"

static size_t word_len(const char *p)
{
    return strcspn(p, " \t\n");
}

static bool token_is_ok(const char *p, size_t len)
{
    return len == BOOT_TOKEN_LEN && strspn(p, "0123456789abcdef") >= len;
}

void cmdline_take_token(const char *line, struct secret *token, char *out)
{
    const size_t name_len = strlen(TOKEN_NAME);

    while (*line) {
        size_t len = word_len(line);

        if (strncmp(line, TOKEN_NAME, name_len) == 0) {
            if (token_is_ok(line + name_len, len - name_len))
                secret_set(token, line + name_len, len - name_len);
            line += len;
            line += *line == ' ';
            continue;
        }
        memcpy(out, line, len);
        out += len;
        line += len;
        if (*line)
            *out++ = *line++;
    }
    *out = '\0';
}

bool cmdline_get(const char *line, const char *name, char *out, size_t size)
{
    const size_t name_len = strlen(name);

    while (*line) {
        size_t len = word_len(line);

        if (len > name_len && strncmp(line, name, name_len) == 0 && line[name_len] == '=') {
            size_t n = len - name_len - 1;

            if (n >= size)
                return false;
            memcpy(out, line + name_len + 1, n);
            out[n] = '\0';
            return true;
        }
        line += len;
        line += *line != '\0';
    }
    return false;
}

int boot_read_cmdline(char out[BOOT_CMDLINE_MAX], struct err *e)
{
    cleanup(fd_closep) int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, BOOT_CMDLINE_MAX - 1);

    if (n < 0)
        return err_errno(e, "read '/proc/cmdline'");
    out[n] = '\0';
    return 0;
}

int boot_take_token(struct secret *token, struct err *e)
{
    char line[BOOT_CMDLINE_MAX], rest[BOOT_CMDLINE_MAX];
    int r = boot_read_cmdline(line, e);

    if (r < 0)
        return r;
    cmdline_take_token(line, token, rest);
    mem_wipe(line, sizeof(line));
    cleanup(fd_closep) int fd = open(COPY_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);

    if (fd < 0)
        return err_errno(e, "make '%s'", COPY_PATH);
    r = fd_write_all(fd, rest, strlen(rest));
    if (r < 0)
        return err_set(e, r, "write '%s': %s", COPY_PATH, strerror(-r));
    if (mount(COPY_PATH, "/proc/cmdline", NULL, MS_BIND, NULL) < 0)
        return err_errno(e, "hide the boot token in '/proc/cmdline'");
    return 0;
}
