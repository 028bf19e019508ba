/* SPDX-License-Identifier: Apache-2.0 */
/* modules - /modules/order names the kernel modules, one file a line, each after what it depends on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "agent/boot/boot.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"

#define MODULES_DIR "/modules"

enum { ORDER_BYTES_MAX = 64 * KIB };

static int module_load(const char *name, struct err *e)
{
    char path[256];

    if (strchr(name, '/') || (size_t) snprintf(path, sizeof(path), MODULES_DIR "/%s", name) >= sizeof(path))
        return err_set(e, -EINVAL, "'%s' is not the name of a module", name);
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "open '%s'", path);
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        return err_errno(e, "load module '%s'", name);
    return 0;
}

int boot_load_modules(struct err *e)
{
    cleanup(buf_deinit) struct buf order = BUF_INIT(ORDER_BYTES_MAX);
    int r = file_read(MODULES_DIR "/order", ORDER_BYTES_MAX - 1, &order, e);
    unsigned count = 0;
    const char *text;
    char *save, *name;

    if (r < 0)
        return r;
    text = buf_cstr(&order);
    for (name = strtok_r((char *) text, " \t\r\n", &save); name; name = strtok_r(NULL, " \t\r\n", &save)) {
        r = module_load(name, e);
        if (r < 0)
            return r;
        count++;
    }
    log_info(NULL, "kernel modules loaded", "count", LOG_U64(count));
    return 0;
}
