/* SPDX-License-Identifier: Apache-2.0 */
/* qemu_argv - see qemu_argv.h */
#include "dataplane/vmhost/priv/qemu_argv.h"
#include "common/base/buf.h"
#include "dataplane/vmhost/priv/netns.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void argv_add(struct qemu_argv *a, const char *fmt, ...) printf_like(2, 3);

static void argv_add(struct qemu_argv *a, const char *fmt, ...)
{
    va_list ap;
    int n;

    assert(a->count < QEMU_ARGS_MAX);
    va_start(ap, fmt);
    n = vsnprintf(a->text[a->count], QEMU_ARG_SIZE, fmt, ap);
    va_end(ap);
    assert(n >= 0 && n < QEMU_ARG_SIZE);
    a->argv[a->count] = a->text[a->count];
    a->argv[++a->count] = NULL;
}

static void argv_add_machine(struct qemu_argv *a, const struct qemu_spec *s)
{
    bool probe = s->mode == PRIV_MODE_PROBE;

    argv_add(a, "-name");
    argv_add(a, "guest=%s,debug-threads=on", s->name);
    argv_add(a, "-machine");
    argv_add(a, QEMU_MACHINE ",memory-backend=ram0,suppress-vmdesc=on,dump-guest-core=off,usb=off,vmport=off");
    /* a state that was saved without RAM has no configuration section */
    argv_add(a, "-global");
    argv_add(a, "migration.send-configuration=off");
    argv_add(a, "-nodefaults");
    argv_add(a, "-no-user-config");
    argv_add(a, "-display");
    argv_add(a, "none");
    /* a restored guest has no firmware to reboot into; what ended stays to be asked for the reason */
    argv_add(a, "-action");
    argv_add(a, "reboot=shutdown,shutdown=%s,panic=%s", probe ? "poweroff" : "pause", probe ? "exit-failure" : "pause");
    argv_add(a, "-rtc");
    argv_add(a, "base=utc");
    argv_add(a, "-sandbox");
    argv_add(a, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static void argv_add_cpu(struct qemu_argv *a, const struct qemu_spec *s)
{
    argv_add(a, "-accel");
    argv_add(a, "%s", s->accel == PRIV_ACCEL_KVM ? "kvm" : "tcg,tb-size=32");
    argv_add(a, "-cpu");
    argv_add(a, "%s", s->cpu_model);
    argv_add(a, "-smp");
    argv_add(a, "cpus=%u,sockets=1,cores=%u,threads=1", s->cpu_count, s->cpu_count);
    argv_add(a, "-m");
    argv_add(a, "size=%uM", s->memory_mb);
    argv_add(a, "-object");
    if (s->mode == PRIV_MODE_TEMPLATE || s->mode == PRIV_MODE_RESTORE)
        argv_add(a, "memory-backend-file,id=ram0,size=%uM,mem-path=/proc/self/fd/%d,share=%s", s->memory_mb, QEMU_FD_RAM,
                 s->mode == PRIV_MODE_TEMPLATE ? "on" : "off");
    else
        argv_add(a, "memory-backend-ram,id=ram0,size=%uM", s->memory_mb);
}

static void argv_add_consoles(struct qemu_argv *a, const struct qemu_spec *s)
{
    argv_add(a, "-chardev");
    argv_add(a, "socket,id=qmp,fd=%d,server=on,wait=off", QEMU_FD_QMP);
    argv_add(a, "-mon");
    argv_add(a, "chardev=qmp,mode=control");
    argv_add(a, "-chardev");
    if (s->mode == PRIV_MODE_RESTORE)
        argv_add(a, "null,id=console");
    else
        argv_add(a, "socket,id=console,fd=%d", QEMU_FD_CONSOLE);
    argv_add(a, "-device");
    argv_add(a, "isa-serial,chardev=console,id=serial0");
}

static void argv_add_disk(struct qemu_argv *a, int fd, const char *node, const char *backing, bool read_only)
{
    argv_add(a, "-add-fd");
    argv_add(a, "fd=%d,set=%d", fd, fd);
    argv_add(a, "-blockdev");
    argv_add(a, "driver=file,node-name=%s-file,filename=/dev/fdset/%d,aio=threads,discard=unmap,read-only=%s", node, fd,
             read_only ? "on" : "off");
    argv_add(a, "-blockdev");
    argv_add(a, "driver=qcow2,node-name=%s,file=%s-file,discard=unmap,read-only=%s%s%s", node, node, read_only ? "on" : "off",
             backing ? ",backing=" : "", backing ? backing : "");
}

/* The chain is given node by node: no file name of an image header is ever followed. */
static const char *argv_add_disks(struct qemu_argv *a, const struct qemu_spec *s)
{
    bool template = s->mode == PRIV_MODE_TEMPLATE;

    argv_add_disk(a, QEMU_FD_ROOTFS, "rootfs", NULL, true);
    argv_add_disk(a, QEMU_FD_SNAP_DISK, "template", "rootfs", !template);
    if (template)
        return "template";
    argv_add_disk(a, QEMU_FD_DISK, "disk", "template", false);
    return "disk";
}

static void argv_add_devices(struct qemu_argv *a, const struct qemu_spec *s)
{
    const char *top = argv_add_disks(a, s);

    argv_add(a, "-netdev");
    argv_add(a, "tap,id=n0,fd=%d,vhost=off", QEMU_FD_TAP);
    argv_add(a, "-device");
    argv_add(a, "virtio-net-pci,netdev=n0,id=net0,mac=" NETNS_GUEST_MAC ",romfile=,addr=0x3");
    argv_add(a, "-device");
    argv_add(a, "virtio-blk-pci,drive=%s,id=disk0,addr=0x4,werror=stop,rerror=stop", top);
    argv_add(a, "-object");
    argv_add(a, "rng-builtin,id=rng0");
    argv_add(a, "-device");
    argv_add(a, "virtio-rng-pci,rng=rng0,id=rng,addr=0x5");
    argv_add(a, "-device");
    argv_add(a, "virtio-scsi-pci,id=scsi0,addr=0x6");
}

void qemu_argv_build(const struct qemu_spec *s, struct qemu_argv *out)
{
    out->count = 0;
    argv_add(out, "%s", s->program);
    argv_add_machine(out, s);
    argv_add_cpu(out, s);
    argv_add_consoles(out, s);
    if (s->mode != PRIV_MODE_PROBE)
        argv_add_devices(out, s);
    if (s->mode == PRIV_MODE_RESTORE) {
        argv_add(out, "-S");
        argv_add(out, "-incoming");
        argv_add(out, "fd:%d", QEMU_FD_STATE);
    } else {
        argv_add(out, "-readconfig");
        argv_add(out, "/proc/self/fd/%d", QEMU_FD_CONFIG);
    }
}

int qemu_config_build(const struct qemu_spec *s, struct buf *out)
{
    return buf_printf(out, "[machine]\n  kernel = \"/proc/self/fd/%d\"\n  initrd = \"/proc/self/fd/%d\"\n  append = \"%s\"\n",
                      QEMU_FD_KERNEL, QEMU_FD_INITRD, s->cmdline);
}
