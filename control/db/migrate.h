/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * migrate - brings the schema forward. Files NNNN_what.sql in order, each in one transaction
 * together with its entry in schema_migrations (version, name, SHA-256). One runner at a time
 * (advisory lock). A file that was applied and differs now is an error.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/attr.h"
#include "control/auth/crypto.h"

struct db_conf;
struct err;
struct loop;

struct migration {
    int64_t version;  /* NNNN */
    const char *name; /* file name */
    const char *sql;
};
struct migrations {
    const struct migration *items; /* by version */
    size_t count;
};

/* Those that were built in: migrations/ of the source tree. */
const struct migrations *migrations_embedded(void);
int64_t migrations_latest(const struct migrations *m);
/* Those of a folder; owned by the caller. */
int migrations_load(const char *dir, struct migrations *out, struct err *e) must_check;
void migrations_free(struct migrations *m);

/* Applies what is missing; one line on stdout for each file. conf.prepare must be false. Turns the
 * loop until it is done. */
int migrate_run(struct loop *l, const struct db_conf *conf, const struct migrations *m,
                struct err *e) must_check;
