/* SPDX-License-Identifier: Apache-2.0 */
/* netns - see netns.h */
#include "dataplane/vmhost/priv/netns.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/wire/agent_init.h"
#include "dataplane/vmhost/priv/helper.h"
#include "dataplane/vmhost/priv/qemu_argv.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define NETNS_DIR "/run/netns"
enum { NETNS_PATH = 64, NETNS_DEADLINE_MS = 10000 };

static const unsigned char netns_host_mac[ETH_ALEN] = {2, 0, 0, 0, 0, 1};
static const unsigned char netns_guest_mac[ETH_ALEN] = {2, 0, 0, 0, 0, 2};

/* Fail closed: the policy is drop in all three directions. Egress (a veth and the team's rules) is added to `forward` by its own table. */
static const char netns_rules[] =
    "table inet bivouac {\n"
    "  chain input { type filter hook input priority 0; policy drop; ct state established accept; }\n"
    "  chain forward { type filter hook forward priority 0; policy drop; }\n"
    "  chain output { type filter hook output priority 0; policy drop;\n"
    "    oifname \"" NETNS_TAP "\" ip daddr " AGENT_GUEST_ADDR " accept; }\n"
    "}\n";

/* Read by the kernel for the namespace of the process that opens them. Some may not exist in a kernel without IPv6. */
static const struct netns_sysctl {
    const char *path, *value;
    bool optional;
} netns_sysctls[] = {
    {"/proc/sys/net/ipv4/ip_forward", "0", false},
    {"/proc/sys/net/ipv6/conf/all/disable_ipv6", "1", true},
    {"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1", true},
    {"/proc/sys/net/ipv4/conf/all/accept_redirects", "0", false},
    {"/proc/sys/net/ipv4/conf/default/accept_redirects", "0", false},
    {"/proc/sys/net/ipv4/conf/all/send_redirects", "0", false},
    {"/proc/sys/net/ipv4/conf/all/rp_filter", "1", false},
    {"/proc/sys/net/ipv4/conf/default/arp_ignore", "1", false},
};

static void netns_path(const char *instance, unsigned slot, char out[NETNS_PATH])
{
    snprintf(out, NETNS_PATH, NETNS_DIR "/bvm%s-%u", instance, slot);
}

int netns_prepare(struct err *e)
{
    if (mkdir(NETNS_DIR, 0755) < 0 && errno != EEXIST)
        return err_errno(e, "make '" NETNS_DIR "'");
    if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
        return 0;
    /* not a mount point yet */
    if (errno != EINVAL || mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL) < 0 ||
        mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) < 0)
        return err_errno(e, "mount '" NETNS_DIR "' as a shared mount");
    return 0;
}

static int netns_set_sysctls(struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(netns_sysctls); i++) {
        const struct netns_sysctl *s = &netns_sysctls[i];
        cleanup(fd_closep) int fd = open(s->path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 && s->optional)
            continue;
        if (fd < 0 || write(fd, s->value, strlen(s->value)) < 0)
            return err_errno(e, "set %s", s->path);
    }
    return 0;
}

static int netns_open_tap(int *out, struct err *e)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    cleanup(fd_closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_errno(e, "open /dev/net/tun (is the module tun there?)");
    (void) str_copy(req.ifr_name, sizeof(req.ifr_name), NETNS_TAP);
    if (ioctl(fd, TUNSETIFF, &req) < 0)
        return err_errno(e, "make the tap");
    *out = take_fd(&fd);
    return 0;
}

static int netns_if_call(int sock, unsigned long call, struct ifreq *req, const char *what, struct err *e)
{
    (void) str_copy(req->ifr_name, sizeof(req->ifr_name), NETNS_TAP);
    return ioctl(sock, call, req) < 0 ? err_errno(e, "%s of the tap", what) : 0;
}

static int netns_set_addr(int sock, unsigned long call, const char *text, const char *what, struct err *e)
{
    struct ifreq req = {0};
    struct sockaddr_in sin = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, text, &sin.sin_addr) != 1)
        return err_set(e, -EINVAL, "address %s", text);
    memcpy(&req.ifr_addr, &sin, sizeof(sin));
    return netns_if_call(sock, call, &req, what, e);
}

/* A fixed entry: no question to a guest that is about to wake, and no answer that it could forge. */
static int netns_set_neighbour(int sock, struct err *e)
{
    struct arpreq req = {.arp_flags = ATF_PERM | ATF_COM, .arp_ha.sa_family = ARPHRD_ETHER, .arp_dev = NETNS_TAP};
    struct sockaddr_in sin = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, AGENT_GUEST_ADDR, &sin.sin_addr) != 1)
        return err_set(e, -EINVAL, "address " AGENT_GUEST_ADDR);
    memcpy(&req.arp_pa, &sin, sizeof(sin));
    memcpy(req.arp_ha.sa_data, netns_guest_mac, sizeof(netns_guest_mac));
    return ioctl(sock, SIOCSARP, &req) < 0 ? err_errno(e, "set the guest as neighbour") : 0;
}

static int netns_set_up(struct err *e)
{
    cleanup(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};

    if (sock < 0)
        return err_errno(e, "make a socket");
    memcpy(req.ifr_hwaddr.sa_data, netns_host_mac, sizeof(netns_host_mac));
    if (netns_if_call(sock, SIOCSIFHWADDR, &req, "set the MAC", e) < 0)
        return e->code;
    if (netns_set_addr(sock, SIOCSIFADDR, AGENT_HOST_ADDR, "set the address", e) < 0 ||
        netns_set_addr(sock, SIOCSIFNETMASK, "255.255.255.252", "set the netmask", e) < 0)
        return e->code;
    memset(&req, 0, sizeof(req));
    req.ifr_flags = IFF_UP | IFF_BROADCAST | IFF_RUNNING;
    if (netns_if_call(sock, SIOCSIFFLAGS, &req, "raise the link", e) < 0)
        return e->code;
    return netns_set_neighbour(sock, e);
}

static int netns_exec_nft(struct err *e)
{
    char *const argv[] = {(char *) "nft", (char *) "-f", (char *) "-", NULL};
    char *const envp[] = {NULL};
    cleanup(fd_closep) int fd = memfd_create("rules", MFD_CLOEXEC);
    size_t len = sizeof(netns_rules) - 1;

    if (fd < 0 || write(fd, netns_rules, len) != (ssize_t) len || lseek(fd, 0, SEEK_SET) < 0 || dup2(fd, STDIN_FILENO) < 0)
        return err_errno(e, "hand the rules to nft");
    execve("/usr/sbin/nft", argv, envp);
    execve("/sbin/nft", argv, envp);
    return err_errno(e, "start nft (install the package nftables)");
}

struct netns_task {
    char path[NETNS_PATH];
};

/* In the helper: everything that must happen inside the new namespace. nft ends it, with the exit code of the whole. */
static int netns_helper(void *arg, struct helper_pipe *out, struct err *e)
{
    struct netns_task *t = arg;
    int fds[2] = {-1, -1};

    if (unshare(CLONE_NEWNET) < 0)
        return err_errno(e, "make a network namespace");
    if (mount("/proc/self/ns/net", t->path, "none", MS_BIND, NULL) < 0)
        return err_errno(e, "mount the namespace on '%s'", t->path);
    fds[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fds[0] < 0)
        return err_errno(e, "open the namespace");
    if (netns_set_sysctls(e) < 0 || netns_open_tap(&fds[1], e) < 0 || netns_set_up(e) < 0)
        return e->code;
    if (helper_send_fds(out, fds, 2, e) < 0)
        return e->code;
    return netns_exec_nft(e);
}

int netns_make(const char *instance, unsigned slot, int *ns, int *tap, struct err *e)
{
    struct netns_task t;
    int fds[2] = {-1, -1};
    int r;

    netns_path(instance, slot, t.path);
    r = netns_remove(instance, slot);
    if (r < 0)
        return err_set(e, r, "remove the old namespace '%s': %s", t.path, strerror(-r));
    cleanup(fd_closep) int file = open(t.path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

    if (file < 0)
        return err_errno(e, "make '%s'", t.path);
    r = helper_run(netns_helper, &t, NETNS_DEADLINE_MS, fds, 2, e);
    if (r < 0) {
        (void) !netns_remove(instance, slot); /* the failure above is the one to tell */
        return err_wrap(e, r, "network of slot %u", slot);
    }
    *ns = fds[0];
    *tap = fds[1];
    return 0;
}

/* The name alone may be there as a plain file. */
static int netns_open_path(const char *path)
{
    cleanup(fd_closep) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) < 0 || (unsigned long) fs.f_type != NSFS_MAGIC)
        return -ENOENT;
    return take_fd(&fd);
}

static int netns_of_tap(int pidfd)
{
    cleanup(fd_closep) int tap = (int) syscall(SYS_pidfd_getfd, pidfd, QEMU_FD_TAP, 0);
    int ns = tap < 0 ? -1 : ioctl(tap, SIOCGSKNS);

    if (ns < 0 || fcntl(ns, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return ns;
}

int netns_open(const char *instance, unsigned slot, int pidfd, int *ns, struct err *e)
{
    char path[NETNS_PATH];
    int fd;

    netns_path(instance, slot, path);
    fd = netns_open_path(path);
    if (fd < 0)
        fd = netns_of_tap(pidfd);
    if (fd < 0)
        return err_set(e, fd, "network namespace of slot %u: %s", slot, strerror(-fd));
    *ns = fd;
    return 0;
}

int netns_remove(const char *instance, unsigned slot)
{
    char path[NETNS_PATH];

    netns_path(instance, slot, path);
    if (umount2(path, MNT_DETACH) < 0 && errno != ENOENT && errno != EINVAL)
        return -errno;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

void netns_mark(const char *instance, uint8_t *bits, unsigned slots)
{
    char prefix[32];
    DIR *d = opendir(NETNS_DIR);
    struct dirent *entry;

    if (!d)
        return;
    snprintf(prefix, sizeof(prefix), "bvm%s-", instance);
    while ((entry = readdir(d))) {
        uint64_t slot;

        if (str_starts(entry->d_name, prefix) && str_to_u64(entry->d_name + strlen(prefix), &slot) == 0 && slot < slots)
            bits[slot / 8] |= (uint8_t) (1u << (slot % 8));
    }
    closedir(d);
}

int netns_socket(int ns, int own, int *sock)
{
    int fd, saved;

    if (setns(ns, CLONE_NEWNET) < 0)
        return -errno;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    saved = errno;
    if (setns(own, CLONE_NEWNET) < 0)
        abort(); /* to go on in a tenant's namespace would be worse */
    if (fd < 0)
        return -saved;
    *sock = fd;
    return 0;
}
