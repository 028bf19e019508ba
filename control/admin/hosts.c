/* SPDX-License-Identifier: Apache-2.0 */
/* hosts - list, drain, undrain. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/err.h"
#include "control/admin/command.h"
#include "control/db/hosts.h"
#include "control/db/tx.h"

static void host_json(struct admin *x, const struct host_row *h)
{
    jw_object(x->w);
    jw_kint(x->w, "id", h->id);
    jw_kstr(x->w, "name", h->name);
    jw_kstr(x->w, "api_url", h->api_url);
    jw_kstr(x->w, "gateway_url", h->gateway_url);
    jw_kstr(x->w, "version", h->version);
    jw_kstr(x->w, "accelerator", h->accelerator);
    jw_kbool(x->w, "draining", h->draining);
    jw_kint(x->w, "heartbeat_age_ms", h->heartbeat_age_ms);
    jw_kobject(x->w, "capacity");
    jw_kint(x->w, "vms", h->capacity_vms);
    jw_kint(x->w, "vcpus", h->capacity_vcpus);
    jw_kint(x->w, "memory_mb", h->capacity_memory_mb);
    jw_object_end(x->w);
    jw_kobject(x->w, "reserved");
    jw_kint(x->w, "vms", h->reserved_vms);
    jw_kint(x->w, "vcpus", h->reserved_vcpus);
    jw_kint(x->w, "memory_mb", h->reserved_memory_mb);
    jw_object_end(x->w);
    jw_kobject(x->w, "disk");
    jw_kint(x->w, "bytes_total", h->disk_bytes_total);
    jw_kint(x->w, "bytes_free", h->disk_bytes_free);
    jw_object_end(x->w);
    jw_key(x->w, "templates");
    jw_raw(x->w, h->templates, strlen(h->templates));
    jw_object_end(x->w);
}

static void host_text(const struct host_row *h)
{
    printf("%-24s %-8s %4lld/%-4lld %5lld/%-5lld %8lld/%-8lld %6lld ms%s\n", h->name,
           h->accelerator ? h->accelerator : "-", (long long)h->reserved_vms,
           (long long)h->capacity_vms, (long long)h->reserved_vcpus, (long long)h->capacity_vcpus,
           (long long)h->reserved_memory_mb, (long long)h->capacity_memory_mb,
           (long long)h->heartbeat_age_ms, h->draining ? "  DRAINING" : "");
}

static int host_list(struct admin *x, struct err *e)
{
    struct db_tx *tx = tx_new(), *done;
    struct host_row h;
    int r;

    hosts_add_list(tx);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    if (x->json)
        jw_karray(x->w, "hosts");
    else
        printf("%-24s %-8s %-9s %-11s %-17s %s\n", "HOST", "ACCEL", "VMS", "VCPUS", "MEMORY MB",
               "LAST REPORT");
    for (int i = 0; i < tx_rows(done, 0) && r == 0; i++) {
        r = hosts_decode(done, 0, i, x->arena, &h);
        if (r == 0 && x->json)
            host_json(x, &h);
        else if (r == 0)
            host_text(&h);
    }
    if (x->json)
        jw_array_end(x->w);
    tx_release(done);
    return r < 0 ? err_set(e, r, "too many hosts") : 0;
}

static int host_set_drain(struct admin *x, bool drain, struct err *e)
{
    struct db_tx *tx = tx_new(), *done;
    int r;

    hosts_add_drain(tx, x->opt.id, drain);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    if (tx_rows(done, 0) == 0)
        r = err_set(e, -ENOENT, "no host '%s' has reported yet", x->opt.id);
    else if (!x->json)
        printf("host %s %s\n", x->opt.id, drain ? "gets no new sandboxes" : "gets sandboxes again");
    tx_release(done);
    if (r == 0 && x->json) {
        jw_kstr(x->w, "name", x->opt.id);
        jw_kbool(x->w, "draining", drain);
    }
    return r;
}

static int host_drain(struct admin *x, struct err *e)
{
    return host_set_drain(x, true, e);
}

static int host_undrain(struct admin *x, struct err *e)
{
    return host_set_drain(x, false, e);
}

const struct admin_command admin_hosts[] = {
    {"host", "list", "", "Lists hosts with their room and last report.", "", "", host_list},
    {"host", "drain", "NAME", "Gives a host no new sandboxes; running ones go on.", "id", "",
     host_drain},
    {"host", "undrain", "NAME", "Gives a host new sandboxes again.", "id", "", host_undrain},
    {0},
};
