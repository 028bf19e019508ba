/* SPDX-License-Identifier: Apache-2.0 */
/* conf - see conf.h */
#include "dataplane/vmhost/conf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "dataplane/vmhost/priv/privop.h"
#include <errno.h>
#include <string.h>

#define KEY(member) .name = #member, .offset = offsetof(struct conf, member)

static const struct config_key conf_keys[] = {
    {KEY(instance), .type = CONFIG_STRING, .fallback = "a", .min = 1, .max = 6,
     .help = "Lower-case letters and digits: part of the names of namespaces and cgroups, one per service on a machine."},
    {KEY(host_name), .type = CONFIG_STRING, .fallback = "", .max = 63,
     .help = "Name told to the gateway; empty = the machine's host name."},
    {KEY(state_dir), .type = CONFIG_PATH, .fallback = "/var/lib/bivouac/vmhost",
     .help = "Template snapshots, disks of VMs and the journal; made with the right owners when it is missing."},
    {KEY(images_dir), .type = CONFIG_PATH, .fallback = "/var/lib/bivouac/images",
     .help = "Folder of template images, one folder with a manifest.json each; readable by child_uid."},
    {KEY(run_dir), .type = CONFIG_PATH, .fallback = "/run/bivouac-vmhost",
     .help = "Short-lived files: mount point of the QEMU cell."},
    {KEY(listen), .type = CONFIG_ADDR, .fallback = "127.0.0.1:7443", .help = "Host API (mTLS), host:port."},
    {KEY(tls_cert), .type = CONFIG_PATH, .fallback = "", .help = "This host's certificate chain, PEM; server and client side."},
    {KEY(tls_key), .type = CONFIG_PATH, .fallback = "", .help = "Its private key, PEM; readable by child_uid only."},
    {KEY(tls_ca), .type = CONFIG_PATH, .fallback = "", .help = "The fleet's private CA, PEM."},
    {KEY(control_cn), .type = CONFIG_STRING, .fallback = "bivouac-control", .min = 1, .max = 64,
     .help = "Common name that a client certificate of the host API must bear."},
    {KEY(admin_listen), .type = CONFIG_ADDR, .fallback = "127.0.0.1:7444",
     .help = "Plain listener for GET /health and GET /metrics; keep it on loopback."},
    {KEY(gate_socket), .type = CONFIG_PATH, .fallback = "/run/bivouac-gate/gate.sock",
     .help = "Unix socket for the gateway; its folder is made with child_uid as owner when it is missing."},
    {KEY(gateway_uid), .type = CONFIG_INT, .fallback = "63002", .max = 4294967294,
     .help = "The only uid, besides child_uid, that may connect to gate_socket."},
    {KEY(control_addr), .type = CONFIG_STRING, .fallback = "", .max = 256,
     .help = "host:port of control's host port for heartbeats; empty = no heartbeats."},
    {KEY(control_name), .type = CONFIG_STRING, .fallback = "bivouac-control", .min = 1, .max = 128,
     .help = "Name or address that control's certificate must bear."},
    {KEY(host_token_file), .type = CONFIG_PATH, .fallback = "",
     .help = "File with the host token (bvh_...), mode 0600, owned by child_uid."},
    {KEY(host_api_url), .type = CONFIG_STRING, .fallback = "", .max = 256,
     .help = "URL of the host API as control reaches it; told in heartbeats. Empty = https://<listen>."},
    {KEY(gateway_url), .type = CONFIG_STRING, .fallback = "", .max = 256,
     .help = "URL of this host's gateway as clients of the fleet reach it; told in heartbeats."},
    {KEY(heartbeat_ms), .type = CONFIG_INT, .fallback = "2000", .min = 100, .max = 60000, .help = "Time between heartbeats."},
    {KEY(child_uid), .type = CONFIG_INT, .fallback = "63003", .min = 1, .max = 4294967294,
     .help = "uid and gid of the unprivileged child."},
    {KEY(uid_base), .type = CONFIG_INT, .fallback = "640000", .min = 1000, .max = 4000000000,
     .help = "QEMU of slot N runs as uid and gid uid_base + N; nothing else may use these uids."},
    {KEY(max_vms), .type = CONFIG_INT, .fallback = "100", .min = 1, .max = 960, .help = "Most VMs at a time."},
    {KEY(memory_mb), .type = CONFIG_INT, .fallback = "0", .max = 16777216,
     .help = "Memory for guests; 0 = what the machine has, less 2 GiB or a quarter."},
    {KEY(memory_pct), .type = CONFIG_INT, .fallback = "150", .min = 10, .max = 1000,
     .help = "Guest memory that may be promised, in percent of memory_mb: guests share the pages of their template."},
    {KEY(vcpus), .type = CONFIG_INT, .fallback = "0", .max = 4096, .help = "CPUs for guests; 0 = what the machine has."},
    {KEY(vcpu_pct), .type = CONFIG_INT, .fallback = "1600", .min = 10, .max = 10000,
     .help = "Guest CPUs that may be promised, in percent of vcpus."},
    {KEY(pool_slots), .type = CONFIG_INT, .fallback = "3", .min = 1, .max = 48,
     .help = "Network namespaces, taps and cgroups kept ready for the next creates."},
    {KEY(accelerator), .type = CONFIG_STRING, .fallback = "auto", .min = 3, .max = 4,
     .help = "kvm, tcg (software emulation), or auto: KVM if a test guest really boots on it."},
    {KEY(cpu_model), .type = CONFIG_STRING, .fallback = "auto", .min = 1, .max = 32,
     .help = "CPU of guests under KVM: auto (by what the machine has) or a named model; snapshots depend on it."},
    {KEY(qemu), .type = CONFIG_PATH, .fallback = "/usr/bin/qemu-system-x86_64", .help = "QEMU; a path below /usr."},
    {KEY(shim), .type = CONFIG_PATH, .fallback = "",
     .help = "The RAM preload shim; empty = bivouac-ram-shim.so beside the program."},
    {KEY(template_boot_s), .type = CONFIG_INT, .fallback = "180", .min = 5, .max = 3600,
     .help = "Longest time from power on to an answering agent while a template is made."},
    {KEY(disk_full_pct), .type = CONFIG_INT, .fallback = "95", .min = 50, .max = 100,
     .help = "No new VMs while the file system of state_dir is fuller than this."},
    {KEY(log_level), .type = CONFIG_STRING, .fallback = "info", .help = "debug, info, warn or error."},
    {0},
};

const struct config_table conf_table = {.program = "bivouac-vmhost", .keys = conf_keys, .size = sizeof(struct conf)};

int conf_check_service(const struct conf *c, struct err *e)
{
    if (str_empty(c->tls_cert) || str_empty(c->tls_key) || str_empty(c->tls_ca))
        return err_set(e, -EINVAL, "tls_cert, tls_key and tls_ca are needed: the host API speaks mutual TLS only");
    if (!str_empty(c->control_addr) && str_empty(c->host_token_file))
        return err_set(e, -EINVAL, "control_addr needs host_token_file");
    if (!str_empty(c->control_addr) && str_empty(c->gateway_url))
        return err_set(e, -EINVAL, "control_addr needs gateway_url: control tells it to clients");
    return 0;
}

int conf_check(const struct conf *c, struct err *e)
{
    const char *const accelerators[] = {"auto", "kvm", "tcg"};
    bool known = false;

    if (!privop_instance_valid(c->instance))
        return err_set(e, -EINVAL, "instance: 1 to 6 lower-case letters and digits");
    for (size_t i = 0; i < ARRAY_LEN(accelerators); i++)
        known |= str_eq(c->accelerator, accelerators[i]);
    if (!known)
        return err_set(e, -EINVAL, "accelerator: auto, kvm or tcg");
    if (!str_eq(c->cpu_model, "auto") && privop_cpu_find(c->cpu_model) < 0)
        return err_set(e, -EINVAL, "cpu_model: auto or one of %s", privop_cpu_names());
    if (!str_starts(c->qemu, "/usr/") || strstr(c->qemu, "/../"))
        return err_set(e, -EINVAL, "qemu: a path below /usr");
    if (c->state_dir[0] != '/' || c->run_dir[0] != '/' || c->images_dir[0] != '/' || c->gate_socket[0] != '/')
        return err_set(e, -EINVAL, "state_dir, run_dir, images_dir and gate_socket are absolute paths");
    if (c->uid_base <= c->child_uid && c->child_uid < c->uid_base + PRIV_SLOTS_MAX)
        return err_set(e, -EINVAL, "child_uid lies in the uids of QEMU (uid_base .. uid_base + %d)", PRIV_SLOTS_MAX - 1);
    if (c->uid_base + PRIV_SLOTS_MAX > (int64_t) UINT32_MAX)
        return err_set(e, -EINVAL, "uid_base is too high");
    return 0;
}
