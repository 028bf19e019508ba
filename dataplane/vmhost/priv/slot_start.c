/* SPDX-License-Identifier: Apache-2.0 */
/* slot_start - the operation that starts QEMU in a slot: opens what the mode needs, checks what the child gave */
#include "dataplane/vmhost/priv/slots.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "dataplane/vmhost/conf.h"
#include "dataplane/vmhost/priv/cgroup.h"
#include "dataplane/vmhost/priv/probe_guest.h"
#include "dataplane/vmhost/priv/procs.h"
#include "dataplane/vmhost/priv/qemu_spawn.h"
#include "dataplane/vmhost/priv/store.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* QEMU's own memory beside the guest's: code cache of software emulation, block caches, threads. */
enum { START_OVERHEAD_MB = 384, START_FILE_SLACK_MB = 1024 };

enum { GIVEN_QMP, GIVEN_STDERR, GIVEN_REST };

static int start_check_fd(int fd, mode_t type, const char *what, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, "look at %s", what);
    if ((st.st_mode & S_IFMT) != type)
        return err_set(e, -EINVAL, "%s is of the wrong type", what);
    return 0;
}

/* The disk must be the child's own file: neither a device nor a file that another user could hold. */
static int start_check_disk(const struct slots *s, int fd, struct err *e)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_uid != (uid_t) s->conf->child_uid)
        return err_set(e, -EINVAL, "the disk is not a file of the child, open for reading and writing");
    return 0;
}

static int start_check_given(const struct slots *s, const struct priv_qemu_start *m, const int *fds, struct err *e)
{
    bool disk = m->mode == PRIV_MODE_RESTORE || m->mode == PRIV_MODE_COLD;
    int r = start_check_fd(fds[GIVEN_QMP], S_IFSOCK, "the QMP socket", e);

    if (r == 0)
        r = start_check_fd(fds[GIVEN_STDERR], S_IFIFO, "the stderr pipe", e);
    if (r == 0 && disk)
        r = start_check_disk(s, fds[GIVEN_REST], e);
    if (r == 0 && m->mode != PRIV_MODE_RESTORE)
        r = start_check_fd(fds[disk ? GIVEN_REST + 1 : GIVEN_REST], S_IFSOCK, "the console socket", e);
    if (r == 0 && m->mode == PRIV_MODE_PROBE)
        r = start_check_fd(fds[GIVEN_REST + 1], S_IFREG, "the kernel", e);
    return r;
}

struct start_files {
    int fds[QEMU_FD_END];   /* what QEMU gets */
    bool own[QEMU_FD_END];  /* opened here, closed here */
};

static void start_files_close(struct start_files *f)
{
    for (int i = 0; i < QEMU_FD_END; i++)
        if (f->own[i])
            fd_closep(&f->fds[i]);
}

static int start_open(const struct slots *s, struct start_files *f, enum qemu_fd at, enum priv_kind kind, const char *name,
                      enum priv_file file, bool unfinished, int flags, struct err *e)
{
    int r = store_file(s->store, kind, name, file, unfinished, flags, &f->fds[at], e);

    f->own[at] = r == 0;
    return r;
}

static int start_memfd(struct start_files *f, enum qemu_fd at, const void *p, size_t len, struct err *e)
{
    cleanup(fd_closep) int fd = memfd_create("vmhost", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r = fd < 0 ? -errno : fd_write_all(fd, p, len);

    if (r < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return err_set(e, r < 0 ? r : -errno, "make a memory file");
    f->fds[at] = take_fd(&fd);
    f->own[at] = true;
    return 0;
}

static int start_open_boot(const struct slots *s, const struct priv_qemu_start *m, const struct qemu_spec *spec, struct start_files *f,
                           struct err *e)
{
    cleanup(buf_deinit) struct buf text = BUF_INIT(QEMU_CONFIG_MAX);
    int r = qemu_config_build(spec, &text);

    if (r < 0)
        return err_set(e, r, "kernel command line");
    r = start_memfd(f, QEMU_FD_CONFIG, buf_data(&text), text.len, e);
    mem_wipe(buf_data(&text), text.len); /* it bears the template's token */
    if (r < 0)
        return r;
    if (m->mode == PRIV_MODE_PROBE) {
        cleanup(buf_deinit) struct buf initrd = BUF_INIT(64 * KIB);

        r = probe_guest_build(&initrd);
        return r < 0 ? r : start_memfd(f, QEMU_FD_INITRD, buf_data(&initrd), initrd.len, e);
    }
    r = start_open(s, f, QEMU_FD_KERNEL, PRIV_BLOB, m->kernel, PRIV_FILE_BLOB, false, O_RDONLY, e);
    return r < 0 ? r : start_open(s, f, QEMU_FD_INITRD, PRIV_BLOB, m->initrd, PRIV_FILE_BLOB, false, O_RDONLY, e);
}

static int start_open_snapshot(const struct slots *s, const struct priv_qemu_start *m, struct start_files *f, struct err *e)
{
    bool template = m->mode == PRIV_MODE_TEMPLATE;
    bool unfinished = template || m->unfinished;
    int flags = template ? O_RDWR : O_RDONLY;
    int r = start_open(s, f, QEMU_FD_ROOTFS, PRIV_BLOB, m->rootfs, PRIV_FILE_BLOB, false, O_RDONLY, e);

    if (r == 0)
        r = start_open(s, f, QEMU_FD_SNAP_DISK, PRIV_SNAP, m->snap, PRIV_FILE_DISK, unfinished, flags, e);
    if (r == 0 && m->mode != PRIV_MODE_COLD)
        r = start_open(s, f, QEMU_FD_RAM, PRIV_SNAP, m->snap, PRIV_FILE_MEMORY, unfinished, flags, e);
    if (r == 0 && m->mode == PRIV_MODE_RESTORE)
        r = start_open(s, f, QEMU_FD_STATE, PRIV_SNAP, m->snap, PRIV_FILE_STATE, unfinished, O_RDONLY, e);
    return r;
}

static int start_open_files(struct slots *s, const struct priv_qemu_start *m, const struct qemu_spec *spec, const int *given,
                            struct start_files *f, struct err *e)
{
    bool disk = m->mode == PRIV_MODE_RESTORE || m->mode == PRIV_MODE_COLD;
    bool boot = m->mode != PRIV_MODE_RESTORE;
    int r = 0;

    f->fds[QEMU_FD_QMP] = given[GIVEN_QMP];
    if (disk)
        f->fds[QEMU_FD_DISK] = given[GIVEN_REST];
    if (boot)
        f->fds[QEMU_FD_CONSOLE] = given[disk ? GIVEN_REST + 1 : GIVEN_REST];
    if (m->mode == PRIV_MODE_PROBE) {
        f->fds[QEMU_FD_KERNEL] = given[GIVEN_REST + 1];
    } else {
        f->fds[QEMU_FD_TAP] = s->slot[m->slot].tap;
        r = start_open_snapshot(s, m, f, e);
    }
    if (r == 0 && boot)
        r = start_open_boot(s, m, spec, f, e);
    return r;
}

static int start_spawn(struct slots *s, const struct priv_qemu_start *m, const struct qemu_spec *spec, struct start_files *f, int stderr_fd,
                       pid_t *pid, struct err *e)
{
    uint64_t memory = ((uint64_t) m->memory_mb + START_OVERHEAD_MB) * MIB;
    int procs[CGROUP_HIERARCHIES] = {-1, -1, -1};
    struct qemu_spawn spawn = {
        .spec = spec,
        .uid = (uid_t) (s->conf->uid_base + m->slot),
        .jail = s->jail,
        .procs = procs,
        .stderr_fd = stderr_fd,
        .file_bytes_max = ((uint64_t) m->disk_mb + m->disk_mb / 8 + START_FILE_SLACK_MB) * MIB,
    };
    int r = cgroup_limit(s->cgroups, m->slot, m->cpu_count, memory, e);

    if (r < 0)
        return r;
    r = cgroup_open_procs(s->cgroups, m->slot, procs, e);
    if (r < 0)
        return r;
    spawn.procs_count = (unsigned) r;
    memcpy(spawn.fds, f->fds, sizeof(spawn.fds));
    r = qemu_spawn(&spawn, pid, e);
    for (unsigned i = 0; i < CGROUP_HIERARCHIES; i++)
        fd_closep(&procs[i]);
    return r;
}

/* The process is not reaped yet (only the parent's loop does), so its pid cannot be another's. */
static int start_record(struct slot *t, pid_t pid, int *fd, struct err *e)
{
    char state;
    int r = procs_stat(pid, &t->start_time, &state);

    if (r < 0)
        return err_set(e, r, "QEMU ended at once");
    t->pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    *fd = t->pidfd < 0 ? -1 : fcntl(t->pidfd, F_DUPFD_CLOEXEC, 0);
    if (*fd < 0)
        return err_errno(e, "open a pidfd");
    t->pid = pid;
    return 0;
}

int slots_start(struct slots *s, const struct priv_qemu_start *m, const int *fds, struct priv_reply *rep, int *fd, struct err *e)
{
    struct slot *t = &s->slot[m->slot];
    const struct qemu_spec spec = {
        .program = s->conf->qemu,
        .name = m->name,
        .mode = (enum priv_mode) m->mode,
        .accel = (enum priv_accel) m->accel,
        .cpu_model = privop_cpu_name(m->cpu_model),
        .cpu_count = m->cpu_count,
        .memory_mb = m->memory_mb,
        .cmdline = m->cmdline,
    };
    cleanup(start_files_close) struct start_files files = {0};
    pid_t pid;
    int r;

    for (int i = 0; i < QEMU_FD_END; i++)
        files.fds[i] = -1;
    r = start_check_given(s, m, fds, e);
    if (r == 0)
        r = start_open_files(s, m, &spec, fds, &files, e);
    if (r == 0)
        r = start_spawn(s, m, &spec, &files, fds[GIVEN_STDERR], &pid, e);
    if (r < 0)
        return r;
    /* from here on something runs in the slot: whatever fails, only slot_destroy makes it usable again */
    t->state = PRIV_SLOT_RUNNING;
    fd_closep(&t->tap);
    r = start_record(t, pid, fd, e);
    rep->pid = pid;
    rep->start_time = t->start_time;
    return r;
}
