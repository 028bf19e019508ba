/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot/boot.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/init/cgroup.h"
#include "agent/memory.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

static int boot_groups(struct err *e)
{
    return cgroup_setup(memory_reserve(), e);
}

/* This program must answer when users' processes have taken all there is: not killed for memory, first in line for the CPU. */
static int boot_priority(struct err *e)
{
    cleanup(fd_closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "-1000", 5) < 0)
        return err_errno(e, "protect the agent from the OOM killer");
    if (setpriority(PRIO_PROCESS, 0, -10) < 0)
        return err_errno(e, "raise the agent's priority");
    return 0;
}

static const struct {
    const char *name;
    int (*fn)(struct err *e);
} boot_steps[] = {
    {"load kernel modules", boot_load_modules},
    {"enter the root disk", boot_enter_root},
    {"mount", boot_mount_rest},
    {"make kernel settings", boot_settings},
    {"take a name", boot_name},
    {"set the network up", boot_network},
    {"make control groups", boot_groups},
    {"raise priority", boot_priority},
};

/* The kernel opens /dev/console for its init, if the initramfs has that node; devtmpfs has it in any case. */
static void boot_console(void)
{
    int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    log_init("bivouac-agent", fd, LOG_INFO);
}

int boot_run(struct secret *token, struct err *e)
{
    int r = boot_mount_early(e);

    umask(022);
    boot_console();
    if (r < 0)
        return err_wrap(e, r, "mount the first file systems");
    for (size_t i = 0; i < ARRAY_LEN(boot_steps); i++) {
        uint64_t begin = clock_mono_ms();

        r = boot_steps[i].fn(e);
        if (r < 0)
            return err_wrap(e, r, "%s", boot_steps[i].name);
        log_info(NULL, "boot", "step", boot_steps[i].name, "ms", LOG_U64(clock_mono_ms() - begin));
    }
    return boot_take_token(token, e);
}
