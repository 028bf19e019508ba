/* SPDX-License-Identifier: Apache-2.0 */
/* secret - see secret.h */
#include "common/base/secret.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { SECRET_FILE_MAX = 64 * KIB };

void secret_set(struct secret *s, const void *bytes, size_t len)
{
    unsigned char *copy = xmalloc(len + 1);

    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    secret_deinit(s); /* after the copy: `bytes` may be its own */
    s->bytes = copy;
    s->len = len;
}

void secret_deinit(struct secret *s)
{
    if (s->bytes)
        mem_wipe(s->bytes, s->len);
    free(s->bytes);
    s->bytes = NULL;
    s->len = 0;
}

bool secret_equal(const struct secret *s, const void *bytes, size_t len)
{
    return s->len > 0 && s->len == len && mem_equal_ct(s->bytes, bytes, len);
}

int secret_load(struct secret *s, const char *path, struct err *e)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    unsigned char bytes[SECRET_FILE_MAX];
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, "secret file '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "secret file '%s': not a regular file", path);
    if (st.st_mode & (S_IROTH | S_IWOTH | S_IXOTH | S_IWGRP))
        return err_set(e, -EPERM, "secret file '%s': mode %04o lets others in, use 0600 or 0640", path,
                       (unsigned) (st.st_mode & 07777));
    if (st.st_size > (off_t) sizeof(bytes))
        return err_set(e, -EFBIG, "secret file '%s': larger than %zu bytes", path, sizeof(bytes));
    size_t len = (size_t) st.st_size;
    int r = fd_read_all(fd, bytes, len);

    if (r < 0)
        return err_set(e, r, "secret file '%s': %s", path, err_text(NULL, r));
    size_t used = len && bytes[len - 1] == '\n' ? len - 1 : len;

    if (used && used < len && bytes[used - 1] == '\r')
        used--;
    if (used)
        secret_set(s, bytes, used);
    mem_wipe(bytes, len);
    return used ? 0 : err_set(e, -EINVAL, "secret file '%s': empty", path);
}
