/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram_fd - preloaded into QEMU. QEMU 7.2 opens the file of a memory backend for reading and writing even if it maps it privately, so it
 * would need a writable descriptor of memory that all clones of a template share. When QEMU opens /proc/self/fd/<n> and the environment
 * says BIV_RAM_FD=<n>, it gets a duplicate of that descriptor as it is: opened read-only by the parent, good for a private mapping.
 * (QEMU >= 8.2 has readonly=on,rom=off for this.)
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define PUBLIC __attribute__((visibility("default")))

typedef int open_fn(const char *path, int flags, ...);

PUBLIC int __open64_2(const char *path, int flags);
PUBLIC int __open_2(const char *path, int flags);

/* The duplicate, or -1 when this path is none of ours. Decimal digits only, compared as text. */
static int ram_fd_for(const char *path)
{
    static const char prefix[] = "/proc/self/fd/";
    const char *number = getenv("BIV_RAM_FD");
    int fd;

    if (!number || !path || strncmp(path, prefix, sizeof(prefix) - 1) != 0 || strcmp(path + sizeof(prefix) - 1, number) != 0)
        return -1;
    fd = fcntl((int) strtol(number, NULL, 10), F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        abort(); /* the parent's promise does not hold: never fall back to a writable descriptor */
    return fd;
}

static int ram_open(const char *symbol, const char *path, int flags, mode_t mode)
{
    open_fn *next;
    int fd = ram_fd_for(path);

    if (fd >= 0)
        return fd;
    *(void **) &next = dlsym(RTLD_NEXT, symbol);
    if (!next) {
        errno = ENOSYS;
        return -1;
    }
    return next(path, flags, mode);
}

static mode_t ram_mode(int flags, va_list ap)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

PUBLIC int open(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = ram_mode(flags, ap);
    va_end(ap);
    return ram_open("open", path, flags, mode);
}

PUBLIC int open64(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = ram_mode(flags, ap);
    va_end(ap);
    return ram_open("open64", path, flags, mode);
}

PUBLIC int __open_2(const char *path, int flags)
{
    return ram_open("__open_2", path, flags, 0);
}

PUBLIC int __open64_2(const char *path, int flags)
{
    return ram_open("__open64_2", path, flags, 0);
}
