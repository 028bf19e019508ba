/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* serve - the daemon: builds the app, listens, runs until SIGTERM or SIGINT. */
#include "common/base/attr.h"

struct control_config;
struct err;

int serve_run(const struct control_config *conf, struct err *e) must_check;
