/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile_guest - an /init that plays an agent, and then does what the host name in its init says: what a guest can do whose root owns the
 * agent. As long as the template is made it behaves, unless the kernel command line has play=<behaviour>.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static char cmdline[4096];

static _Noreturn void stop(const char *what)
{
    printf("hostile_guest: %s: %s\n", what, strerror(errno));
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

static void load_modules(void)
{
    FILE *order = fopen("/modules/order", "re");
    char line[128], path[160];

    if (!order)
        stop("modules");
    while (fgets(line, sizeof(line), order)) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, sizeof(path), "/modules/%s", line);
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
            stop(path);
        close(fd);
    }
    fclose(order);
}

static void raise_link(const char *name, const char *addr)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = {0};
    struct sockaddr_in sin = {.sin_family = AF_INET};

    snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    for (int i = 0; i < 500 && ioctl(s, SIOCGIFFLAGS, &req) < 0; i++)
        usleep(10000);
    inet_pton(AF_INET, addr, &sin.sin_addr);
    memcpy(&req.ifr_addr, &sin, sizeof(sin));
    if (ioctl(s, SIOCSIFADDR, &req) < 0)
        stop("address");
    inet_pton(AF_INET, "255.255.255.252", &sin.sin_addr);
    memcpy(&req.ifr_addr, &sin, sizeof(sin));
    ioctl(s, SIOCSIFNETMASK, &req);
    ioctl(s, SIOCGIFFLAGS, &req);
    req.ifr_flags |= IFF_UP;
    if (ioctl(s, SIOCSIFFLAGS, &req) < 0)
        stop("link");
    close(s);
}

static void say(int c, const char *text)
{
    (void) !write(c, text, strlen(text));
}

static void answer(int c, int status, const char *body)
{
    dprintf(c, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
}

static void flood(int c, const char *part)
{
    for (;;)
        if (write(c, part, strlen(part)) <= 0)
            return;
}

#define ACCEPTED "{\"ok\":true,\"agent_version\":\"1\",\"link_version\":1}"

/* What a name makes it do when it gets its init. */
static void play(int c, const char *name)
{
    if (strcmp(name, "silent") == 0) {
        pause();
    } else if (strcmp(name, "close") == 0) {
        return;
    } else if (strcmp(name, "refuse") == 0) {
        answer(c, 500, "{\"error\":\"init_failed\",\"message\":\"<script>\\u0007 no\"}");
    } else if (strcmp(name, "unauthorized") == 0) {
        answer(c, 401, "{}");
    } else if (strcmp(name, "notok") == 0) {
        answer(c, 200, "{\"ok\":false}");
    } else if (strcmp(name, "nojson") == 0) {
        answer(c, 200, "\xff\xfe{{{{");
    } else if (strcmp(name, "endless-head") == 0) {
        say(c, "HTTP/1.1 200 OK\r\n");
        flood(c, "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    } else if (strcmp(name, "endless-body") == 0) {
        say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        flood(c, "10\r\naaaaaaaaaaaaaaaa\r\n");
    } else if (strcmp(name, "huge-length") == 0) {
        say(c, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n");
        flood(c, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    } else if (strcmp(name, "drip") == 0) {
        for (int i = 0; i < 1000; i++) {
            say(c, "H");
            sleep(1);
        }
    } else if (strcmp(name, "garbage") == 0) {
        flood(c, "\x01\x02\x03 garbage without an end ");
    } else if (strcmp(name, "panic") == 0) {
        int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

        (void) !write(fd, "c", 1);
    } else if (strcmp(name, "poweroff") == 0) {
        reboot(RB_POWER_OFF);
    } else if (strcmp(name, "reset") == 0) {
        reboot(RB_AUTOBOOT);
    } else {
        answer(c, 200, ACCEPTED);
    }
}

static void *serve(void *arg)
{
    int c = (int) (long) arg;
    static __thread char text[70000];
    ssize_t n, len = 0;
    char *end = NULL, *name;

    while (len < (ssize_t) sizeof(text) - 1 && (n = read(c, text + len, sizeof(text) - 1 - (size_t) len)) > 0) {
        char *length;

        len += n;
        text[len] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = strcasestr(text, "content-length:");
        if (end && (!length || text + len >= end + 4 + atoi(length + 15)))
            break;
    }
    if (end && strncmp(text, "POST /agent/v1/init", 19) == 0) {
        name = strstr(end, "\"hostname\":\"");
        if (name) {
            name += strlen("\"hostname\":\"");
            name[strcspn(name, "\"")] = '\0';
            play(c, name);
        }
    } else if (end && strstr(cmdline, "play=silent")) {
        pause();
    } else if (end && strstr(cmdline, "play=poweroff")) {
        reboot(RB_POWER_OFF);
    } else if (end && strstr(cmdline, "play=noquiesce") && strstr(text, "/quiesce")) {
        answer(c, 500, "{\"error\":\"quiesce_failed\"}");
    } else if (end) {
        answer(c, 200, "{\"ok\":true}");
    }
    close(c);
    return NULL;
}

int main(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(7777)};
    const int one = 1;
    int fd, s;

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    (void) !read(fd, cmdline, sizeof(cmdline) - 1);
    close(fd);
    load_modules();
    raise_link("eth0", "169.254.77.2");
    s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, (struct sockaddr *) &sin, sizeof(sin)) < 0 || listen(s, 64) < 0)
        stop("listen");
    for (;;) {
        int c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;

        if (c >= 0 && pthread_create(&thread, NULL, serve, (void *) (long) c) == 0)
            pthread_detach(thread);
    }
}
