/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * stmt - the product's SQL: static tables of statements, one table of them a file of control/db.
 * Every connection prepares all of them by name before it is used, so that a statement that does
 * not fit the schema is found at start-up.
 */
#include <stddef.h>

struct db_stmt {
    const char *name;
    const char *text;
    unsigned params; /* $1..$n */
};

struct db_stmts {
    const struct db_stmt *rows;
    size_t count;
};

/* Every table, ends with NULL. */
extern const struct db_stmts *const db_all_stmts[];
size_t db_stmt_count(void);
/* In order over all tables; NULL beyond the last. */
const struct db_stmt *db_stmt_at(size_t index);
