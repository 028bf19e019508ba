/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * start - one START on its way to the agent. Outlives the client that asked: a start message that was read is acted on.
 * An id that the client chose is looked up in the store first, because it may never have been used; with such an id a START whose answer
 * was lost with the link is asked again and its own process recognised.
 */
#include <stddef.h>
#include "common/base/attr.h"

struct link_start;
struct pstream;
struct start;
struct streams;

/* p: the process, borrowed (pin it), or NULL with a code and a message for the client. Called once, from the loop, unless forgotten. */
typedef void start_done_fn(void *arg, struct pstream *p, const char *code, const char *message);

/* -EMSGSIZE: more than the agent takes in one message; -ENOSPC: too many processes. */
int start_begin(struct start **out, struct streams *s, const struct link_start *m, start_done_fn *done, void *arg) must_check;
/* What the client says meanwhile: the owner takes it in its callback; if it has gone by then, input and signals are acted on. */
int start_keep(struct start *x, const void *p, size_t len) must_check; /* -ENOBUFS */
void start_each_kept(struct start *x, void (*fn)(void *arg, const void *p, size_t len), void *arg);
void start_forget(struct start *x);  /* the client has gone; it goes on */
void start_cancel(struct start *x);  /* the sandbox has gone */
