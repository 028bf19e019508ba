/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name - who the machine is until init says it: the host name of its disk, and a machine id if it has none. Without a name sudo complains
 * about each command. That these files are written once before the snapshot is taken also keeps what the first init of every copy writes
 * from waiting for the disk.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "agent/boot/boot.h"
#include "agent/init/identity.h"
#include "common/base/cleanup.h"
#include "common/base/id.h"

#define NAME_DEFAULT "sandbox"

static void first_line(const char *path, char *out, size_t size)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

int boot_name(struct err *e)
{
    char name[128], id[64];
    int r;

    first_line("/etc/hostname", name, sizeof(name));
    r = identity_set_hostname(hostname_ok(name) ? name : NAME_DEFAULT, e);
    first_line("/etc/machine-id", id, sizeof(id));
    if (r < 0 || machine_id_ok(id))
        return r;
    id_random_hex(id, 16);
    return identity_set_machine_id(id, e);
}
