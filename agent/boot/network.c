/* SPDX-License-Identifier: Apache-2.0 */
/* network - lo and eth0, always with the same link-local address: every guest has a network of its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "agent/boot/boot.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/wire/agent_init.h"

#define GUEST_IF "eth0"
#define GUEST_MASK "255.255.255.252"

static struct sockaddr_in ipv4(const char *text)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};

    (void) inet_pton(AF_INET, text, &sa.sin_addr); /* constants only */
    return sa;
}

static struct ifreq if_named(const char *name)
{
    struct ifreq ifr = {0};

    memcpy(ifr.ifr_name, name, strlen(name));
    return ifr;
}

static int if_up(int fd, const char *name, struct err *e)
{
    struct ifreq ifr = if_named(name);

    if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
        return err_errno(e, "read the flags of %s", name);
    ifr.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? err_errno(e, "set %s up", name) : 0;
}

static int if_address(int fd, const char *name, const char *address, const char *mask, struct err *e)
{
    struct ifreq ifr = if_named(name);
    struct sockaddr_in sa = ipv4(address);

    memcpy(&ifr.ifr_addr, &sa, sizeof(sa));
    if (ioctl(fd, SIOCSIFADDR, &ifr) < 0)
        return err_errno(e, "give %s its address", name);
    sa = ipv4(mask);
    memcpy(&ifr.ifr_netmask, &sa, sizeof(sa));
    return ioctl(fd, SIOCSIFNETMASK, &ifr) < 0 ? err_errno(e, "give %s its mask", name) : 0;
}

static int route_default(int fd, const char *gateway, struct err *e)
{
    struct sockaddr_in any = ipv4("0.0.0.0"), gw = ipv4(gateway);
    struct rtentry rt = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = (char *) GUEST_IF};

    memcpy(&rt.rt_dst, &any, sizeof(any));
    memcpy(&rt.rt_genmask, &any, sizeof(any));
    memcpy(&rt.rt_gateway, &gw, sizeof(gw));
    return ioctl(fd, SIOCADDRT, &rt) < 0 && errno != EEXIST ? err_errno(e, "set the default route") : 0;
}

/* No router advertisements to wait for, nobody to talk to: ::1 stays. */
static void if_no_ipv6(void)
{
    cleanup(fd_closep) int fd = open("/proc/sys/net/ipv6/conf/" GUEST_IF "/disable_ipv6", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, "1", 1) < 0)
        log_warn(NULL, "could not switch IPv6 off on the guest's interface, ignoring", "reason", strerror(errno));
}

int boot_network(struct err *e)
{
    cleanup(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return err_errno(e, "open a socket");
    r = if_up(fd, "lo", e);
    if (r < 0)
        return r;
    if_no_ipv6();
    r = if_address(fd, GUEST_IF, AGENT_GUEST_ADDR, GUEST_MASK, e);
    r = r < 0 ? r : if_up(fd, GUEST_IF, e);
    return r < 0 ? r : route_default(fd, AGENT_HOST_ADDR, e);
}
