/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * host_client - control as a client of the hosts' API (docs/architecture.md section 4), over mTLS.
 * One pool of connections a host, made when it is first needed and again when the host's address
 * changes. Every call is idempotent by (sandbox id, generation).
 */
#include <stdint.h>
#include "common/base/attr.h"

struct err;
struct fleet_host;
struct host_clients;
struct host_vm;
struct host_vm_spec;
struct loop;
struct op;
struct tls_ctx;

enum {
    HOST_OK,
    HOST_E_UNREACHABLE, /* no connection, or it broke: it may or may not have happened */
    HOST_E_TIMEOUT,     /* as above */
    HOST_E_NO_CAPACITY,
    HOST_E_NO_TEMPLATE,
    HOST_E_STALE,   /* the host knows a later generation */
    HOST_E_UNKNOWN, /* no such VM there */
    HOST_E_FAILED,  /* the host says that it could not; or its answer makes no sense */
};
const char *host_outcome_text(int outcome);

struct host_answer {
    int outcome;
    const struct host_vm *vm; /* HOST_OK of start and deadline; borrowed during the callback */
    const char *message;      /* the host's words or ours, for the log; "" for HOST_OK */
};
typedef void host_done_fn(void *arg, const struct host_answer *a);

struct host_clients *host_clients_new(struct loop *l, struct tls_ctx *tls /* borrowed */);
void host_clients_free(
    struct host_clients *h); /* what is under way ends without its callback; NULL is fine */

/* "https://127.0.0.1:9443": https, an address or localhost, a port, no path. */
int host_url_check(const char *url, struct err *e) must_check;

void host_vm_start(struct host_clients *h, const struct fleet_host *to, int64_t id,
                   const struct host_vm_spec *spec, uint32_t deadline_ms, struct op **slot,
                   host_done_fn *done, void *arg);
/* HOST_OK: it is gone or never was there. */
void host_vm_delete(struct host_clients *h, const struct fleet_host *to, int64_t id,
                    int64_t generation, uint32_t deadline_ms, struct op **slot, host_done_fn *done,
                    void *arg);
void host_vm_deadline(struct host_clients *h, const struct fleet_host *to, int64_t id,
                      int64_t generation, int64_t deadline_unix_ms, uint32_t deadline_ms,
                      struct op **slot, host_done_fn *done, void *arg);
