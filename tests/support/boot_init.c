/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_init - the smallest /init that can tell whether a guest image works: loads the modules, mounts the root,
 * runs one shell command in it and powers off. Prints lines that begin with "boot_init: " on the console.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void boot_end(void)
{
    sync();
    reboot(RB_AUTOBOOT); /* QEMU runs with -no-reboot */
    for (;;)
        pause();
}

static _Noreturn void boot_fail(const char *what)
{
    printf("boot_init: FAIL %s: %s\n", what, strerror(errno));
    boot_end();
}

static void boot_load_module(const char *name)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "/modules/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        boot_fail(path);
    if (syscall(SYS_finit_module, fd, "", 0) < 0)
        boot_fail(path);
    close(fd);
    printf("boot_init: loaded %s\n", name);
}

static void boot_load_modules(void)
{
    FILE *order = fopen("/modules/order", "re");
    char line[128];

    if (!order)
        boot_fail("/modules/order");
    while (fgets(line, sizeof(line), order)) {
        line[strcspn(line, "\n")] = '\0';
        boot_load_module(line);
    }
    fclose(order);
}

/* the disk is probed asynchronously: one blocking open of the uevent would need netlink, so look again for 5 s */
static void boot_mount_root(void)
{
    for (int i = 0; i < 500; i++) {
        if (mount("/dev/vda", "/newroot", "ext4", MS_NOATIME, NULL) == 0)
            return;
        if (errno != ENOENT && errno != ENXIO)
            break;
        usleep(10000);
    }
    boot_fail("mount /dev/vda");
}

static void boot_run(const char *command)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        boot_fail("fork");
    if (pid == 0) {
        setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
        execl("/bin/bash", "bash", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid)
        boot_fail("waitpid");
    printf("boot_init: exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (mount("dev", "/dev", "devtmpfs", 0, NULL) < 0 && errno != EBUSY)
        boot_fail("mount /dev");
    boot_load_modules();
    boot_mount_root();
    if (mount("/dev", "/newroot/dev", NULL, MS_MOVE, NULL) < 0 ||
        mount("proc", "/newroot/proc", "proc", 0, NULL) < 0 ||
        mount("sys", "/newroot/sys", "sysfs", 0, NULL) < 0)
        boot_fail("mount in the root");
    if (chdir("/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
        boot_fail("switch root");
    boot_run(BOOT_COMMAND);
    boot_end();
}
