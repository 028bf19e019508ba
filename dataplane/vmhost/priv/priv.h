/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * priv - the child's side of the privileged operations: priv_x() asks, the parent does. Loop thread only. Requests are answered in the
 * order they were sent, so what is sent after a cancelled call happens after it.
 */
#include <stdint.h>
#include "common/base/attr.h"
#include "dataplane/vmhost/priv/privop.h"

struct loop;
struct op;
struct priv;

/* The parent has gone: the process must end. */
typedef void priv_gone_fn(void *arg);
int priv_open(struct priv **out, struct loop *l, int sock /* taken */, priv_gone_fn *gone, void *arg) must_check;
void priv_close(struct priv *p); /* NULL is fine */

/*
 * r: 0 or -errno of the operation (rep->text says why). fds[0..rep->nfds) belong to the callee: it takes them by setting the entry to -1,
 * what it leaves is closed. rep and fds are NULL when the parent has gone (-ECONNRESET).
 */
typedef void priv_done_fn(void *arg, int r, const struct priv_reply *rep, int *fds);

/* head.op is set by the caller, size and id are filled in. fds are borrowed during the call only. A cancelled call is done all the same. */
int priv_call(struct priv *p, union priv_message *m, const int *fds, size_t nfds, struct op **slot, priv_done_fn *done, void *arg) must_check;

/* Short forms. */
int priv_slot(struct priv *p, enum priv_op op, unsigned slot, struct op **op_slot, priv_done_fn *done, void *arg) must_check;
int priv_store(struct priv *p, enum priv_op op, enum priv_kind kind, enum priv_file file, const char *name, bool unfinished, uint64_t size,
               struct op **op_slot, priv_done_fn *done, void *arg) must_check;
