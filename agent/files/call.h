/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * call - one HTTP request carried out by one helper: request and body there, answer back, both streamed with back-pressure and flat memory.
 * Answers the request in every case. Lives until the answer is finished or the client has gone.
 */
#include <stdbool.h>
#include "agent/files/fmsg.h"

struct agent;
struct http_req;

struct file_call_arg {
    const char *name, *value; /* value NULL: left out */
};

/* args end with a NULL name. user NULL = the default user. body: the request's body goes to the helper when it asks for it. */
void file_call(struct agent *a, struct http_req *r, enum fop_code op, const char *user, const struct file_call_arg *args, bool body);
