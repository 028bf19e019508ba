/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* open - the configured database, for the daemon and for the command line. */
#include <stdbool.h>
#include "common/base/attr.h"

struct arena;
struct control_config;
struct db_conf;
struct err;
struct secret;

/* Reads database_url_file. Texts in the arena, the password in *password, to which out points. */
int open_db_conf(const struct control_config *conf, bool prepare, struct arena *a,
                 struct db_conf *out, struct secret *password, struct err *e) must_check;
