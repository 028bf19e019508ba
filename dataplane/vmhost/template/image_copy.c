/* SPDX-License-Identifier: Apache-2.0 */
/* image_copy - see image_copy.h */
#include "dataplane/vmhost/template/image_copy.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "dataplane/vmhost/image/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { COPY_PART = 1 * MIB };

/* What was copied is what is hashed, so that a change of the source in between cannot pass. */
static int copy_bytes(int from, int to, uint8_t *room, struct err *e)
{
    for (;;) {
        ssize_t n = read(from, room, COPY_PART);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "read the image");
        if (n == 0)
            return 0;
        r = fd_write_all(to, room, (size_t) n);
        if (r < 0)
            return err_set(e, r, "write the image into the store: %s", strerror(-r));
    }
}

static int hash_bytes(int fd, uint8_t *room, char hex[65], struct err *e)
{
    struct sha256 s;

    sha256_init(&s);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(e, "read the image back");
    for (;;) {
        ssize_t n = read(fd, room, COPY_PART);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "read the image back");
        if (n == 0)
            break;
        sha256_update(&s, room, (size_t) n);
    }
    sha256_final_hex(&s, hex);
    return 0;
}

int image_copy(const char *dir, const char *name, const char *sha256, int to, struct err *e)
{
    cleanup(freep) uint8_t *room = xmalloc(COPY_PART);
    char path[PATH_MAX], hex[65];
    struct stat st;
    int r = 0;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    cleanup(fd_closep) int from = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);

    if (from < 0)
        return err_errno(e, "open '%s'", path);
    if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "'%s' is no file", path);
    if (ioctl(to, FICLONE, from) < 0)
        r = copy_bytes(from, to, room, e);
    if (r == 0)
        r = hash_bytes(to, room, hex, e);
    if (r < 0)
        return r;
    if (!str_eq(hex, sha256))
        return err_set(e, -EBADMSG, "'%s' is not the file of the manifest (checksum differs)", path);
    return fsync(to) < 0 ? err_errno(e, "fsync the image") : 0;
}
