/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* url - a database's address as one text: postgresql://user:password@127.0.0.1:5432/name, or
 * "host=/run/postgresql dbname=bivouac". */
#include "common/base/attr.h"

struct arena;
struct db_conf;
struct err;
struct secret;

/*
 * Fills host, port, name, user, password, sslmode, sslrootcert (arena; the password goes to
 * *password, to which out points). Hosts must be addresses or folders: names would block. Other
 * settings are errors: what they do is configured elsewhere. No text is quoted in errors.
 */
int db_url_parse(const char *text, struct arena *a, struct db_conf *out, struct secret *password,
                 struct err *e) must_check;
