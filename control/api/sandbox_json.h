/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* sandbox_json - a sandbox and its session as the API shows them. One shape wherever a sandbox is
 * answered. */
#include "common/base/attr.h"

struct app;
struct buf;
struct json_writer;
struct sandbox_row;

/* The object itself. */
void sandbox_write(struct json_writer *w, const struct app *app, const struct sandbox_row *s);
/* The session object: a fresh token. */
int session_write(struct json_writer *w, const struct app *app,
                  const struct sandbox_row *s) must_check;
/* {"sandbox":{..}} and {"sandbox":{..},"session":{..}} */
int sandbox_answer(const struct app *app, const struct sandbox_row *s, struct buf *out) must_check;
int sandbox_answer_session(const struct app *app, const struct sandbox_row *s,
                           struct buf *out) must_check;
/* The same as launches_conf.compose. */
int sandbox_compose(void *app, const struct sandbox_row *s, struct buf *out);

enum { URL_MAX = 512 };
/* "<scheme>://<prefix><route token>.sandbox.<domain>[:port]"; the host part begins at *host. */
void data_plane_url(const struct app *app, const char *prefix, const char *route_token,
                    char out[URL_MAX], const char **host);
