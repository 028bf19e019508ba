/* SPDX-License-Identifier: Apache-2.0 */
/* settings - kernel settings that Debian's init would make, and the commands that turn the machine off. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/boot/boot.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"

static const struct {
    const char *path, *value;
} sysctls[] = {
    {"/proc/sys/kernel/dmesg_restrict", "1"}, /* the log has the boot token */
    {"/proc/sys/fs/protected_symlinks", "1"},
    {"/proc/sys/fs/protected_hardlinks", "1"},
    {"/proc/sys/fs/protected_fifos", "1"},
    {"/proc/sys/fs/protected_regular", "2"},
    {"/proc/sys/fs/inotify/max_user_watches", "524288"},
    {"/proc/sys/fs/inotify/max_user_instances", "1024"},
    {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
};

static const struct {
    const char *path;
    mode_t mode;
} device_modes[] = {
    {"/dev/fuse", 0666},
    {"/dev/net/tun", 0666},
};

#define POWER_PATH "/run/bivouac/power"

/* For images without an init system: each of these names is a link to one script. */
static const char *const power_names[] = {"poweroff", "halt", "reboot", "shutdown"};

static const char power_script[] =
    "#!/bin/sh\n"
    "# poweroff, halt, reboot, shutdown: asks the machine's init, at once.\n"
    "signal=TERM\n"
    "case \"${0##*/}\" in\n"
    "reboot) signal=INT ;;\n"
    "shutdown)\n"
    "    for arg; do\n"
    "        case $arg in\n"
    "        -r | --reboot) signal=INT ;;\n"
    "        -c | --help) echo 'shutdown [-h | -P | -r]: at once; a time is ignored'; exit 0 ;;\n"
    "        esac\n"
    "    done\n"
    "    ;;\n"
    "esac\n"
    "kill -s \"$signal\" 1\n";

static void setting_put(const char *path, const char *value)
{
    cleanup(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 ? errno != ENOENT : write(fd, value, strlen(value)) < 0)
        log_warn(NULL, "could not make a kernel setting, ignoring", "path", path, "reason", strerror(errno));
}

static bool command_is_there(const char *name)
{
    static const char *const dirs[] = {"/usr/local/sbin", "/usr/sbin", "/sbin"};
    char path[64];
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
        if (lstat(path, &st) == 0)
            return true;
    }
    return false;
}

static int power_commands(struct err *e)
{
    cleanup(fd_closep) int fd = open(POWER_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    char path[64];

    if (fd < 0)
        return err_errno(e, "make '%s'", POWER_PATH);
    int r = fd_write_all(fd, power_script, sizeof(power_script) - 1);

    if (r < 0)
        return err_set(e, r, "write '%s': %s", POWER_PATH, strerror(-r));
    for (size_t i = 0; i < ARRAY_LEN(power_names); i++) {
        if (command_is_there(power_names[i]))
            continue;
        snprintf(path, sizeof(path), "/usr/local/sbin/%s", power_names[i]);
        if (symlink(POWER_PATH, path) < 0)
            log_warn(NULL, "could not make a power command, ignoring", "path", path, "reason", strerror(errno));
    }
    return 0;
}

int boot_settings(struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(sysctls); i++)
        setting_put(sysctls[i].path, sysctls[i].value);
    for (size_t i = 0; i < ARRAY_LEN(device_modes); i++)
        (void) chmod(device_modes[i].path, device_modes[i].mode); /* if there is one */
    return power_commands(e);
}
