/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* health - GET /health and GET /metrics for every daemon, on its admin listener. */
#include "common/http/http.h"

struct err;
struct json_writer;
struct loop;
struct health;

/* Adds members to the /health object; returns false when the daemon is not healthy (answer 503, "status":"degraded"). */
typedef bool health_fn(void *arg, struct json_writer *w);
struct http_req;
/* Answers if the request is one of the two; false otherwise. */
bool health_handle(struct http_req *r, const char *program, health_fn *fn, void *arg);
/* A listener of its own, "127.0.0.1:port" (port 0 picks one). */
int health_listen(struct health **out, struct loop *l, const char *addr, const char *program, health_fn *fn, void *arg, struct err *e) must_check;
uint16_t health_port(const struct health *h);
void health_free(struct health *h);
