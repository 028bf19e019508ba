/* SPDX-License-Identifier: Apache-2.0 */
/* keys - API keys and host tokens. A secret is shown once, when it is made. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "control/admin/command.h"
#include "control/auth/apikey.h"
#include "control/db/host_tokens.h"
#include "control/db/keys.h"
#include "control/db/tx.h"

/* "read,write" */
static int keys_scopes(const char *text, const char *out[2], size_t *count, struct err *e)
{
    bool reads = str_eq(text, "read") || str_eq(text, "read,write") || str_eq(text, "write,read");
    bool writes = str_eq(text, "write") || str_eq(text, "read,write") || str_eq(text, "write,read");

    *count = 0;
    if (!reads && !writes)
        return err_set(e, -EINVAL, "--scopes '%s': must be read, write or read,write", text);
    if (reads)
        out[(*count)++] = "read";
    if (writes)
        out[(*count)++] = "write";
    return 0;
}

static void keys_show_new(struct admin *x, const char *what, const char *id, const char *text)
{
    if (x->json) {
        jw_kstr(x->w, "id", id);
        jw_kstr(x->w, what, text);
    } else {
        printf("%s\n", text);
        fprintf(stderr, "this is the only time that it is shown; its id is %s\n", id);
    }
}

static int key_create(struct admin *x, struct err *e)
{
    char text[APIKEY_TEXT_SIZE];
    const char *scopes[2];
    struct apikey key;
    struct db_tx *tx, *done;
    int64_t expires = 0;
    size_t count = 0;
    int r = keys_scopes(x->opt.scopes ? x->opt.scopes : "read,write", scopes, &count, e);

    if (r == 0)
        r = admin_expiry(x->opt.expires, &expires, e);
    if (r < 0)
        return r;
    apikey_make(APIKEY_PREFIX, &key, text);
    tx = tx_new();
    keys_add_create(tx, key.id, key.hash, x->opt.email, x->opt.team,
                    x->opt.name ? x->opt.name : "key", scopes, count, expires);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    if (tx_rows(done, 0) == 0)
        r = x->opt.team ? err_set(e, -ENOENT, "there is no user '%s' in a team '%s'", x->opt.email,
                                  x->opt.team)
                        : err_set(e, -ENOENT, "there is no user '%s'", x->opt.email);
    else
        keys_show_new(x, "key", key.id, text);
    tx_release(done);
    mem_wipe(text, sizeof(text));
    return r;
}

static const char *const key_columns[] = {"id", "name", "email", "team", "scopes"};
enum { KEY_TEXTS = ARRAY_LEN(key_columns) };

static void key_json(struct admin *x, const struct db_tx *tx, int row)
{
    static const char *const times[] = {"created_at", "expires_at", "last_used_at", "revoked_at"};
    char prefix[32];

    jw_object(x->w);
    for (int c = 0; c < KEY_TEXTS; c++)
        jw_kstr(x->w, key_columns[c], tx_col(tx, 0, row, c));
    snprintf(prefix, sizeof(prefix), APIKEY_PREFIX "_%s", tx_col(tx, 0, row, 0));
    jw_kstr(x->w, "prefix", prefix);
    for (int c = 0; c < (int)ARRAY_LEN(times); c++)
        admin_json_time(x, times[c], tx_col_i64(tx, 0, row, KEY_TEXTS + c));
    jw_object_end(x->w);
}

static int key_list(struct admin *x, struct err *e)
{
    struct db_tx *tx = tx_new(), *done;
    char expires[32], used[32];
    int r;

    keys_add_list(tx, x->opt.email);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    if (x->json)
        jw_karray(x->w, "keys");
    else
        printf("%-17s %-20s %-28s %-16s %-11s %-21s %-21s\n", "KEY", "NAME", "USER", "TEAM",
               "SCOPES", "EXPIRES", "LAST USED");
    for (int i = 0; i < tx_rows(done, 0); i++) {
        if (x->json) {
            key_json(x, done, i);
            continue;
        }
        const char *team = tx_col(done, 0, i, 3);

        printf("bvk_%-13s %-20s %-28s %-16s %-11s %-21s %-21s%s\n", tx_col(done, 0, i, 0),
               tx_col(done, 0, i, 1), tx_col(done, 0, i, 2), team ? team : "(all)",
               tx_col(done, 0, i, 4), admin_time(tx_col_i64(done, 0, i, 6), expires),
               admin_time(tx_col_i64(done, 0, i, 7), used),
               tx_col_null(done, 0, i, 8) ? "" : " REVOKED");
    }
    if (x->json)
        jw_array_end(x->w);
    tx_release(done);
    return 0;
}

/* "bvk_<id>" is what lists show: both forms are taken. */
static const char *keys_bare_id(const char *id, const char *prefix)
{
    size_t len = strlen(prefix);

    return str_starts(id, prefix) && id[len] == '_' ? id + len + 1 : id;
}

static int keys_revoked(struct admin *x, struct db_tx *tx, const char *what, const char *id,
                        struct err *e)
{
    struct db_tx *done;
    int r = admin_run(x, tx, &done, e);

    if (r < 0)
        return r;
    if (tx_rows(done, 0) == 0)
        r = err_set(e, -ENOENT, "there is no %s with the id '%s'", what, id);
    else if (x->json)
        jw_kstr(x->w, "id", id);
    else
        printf("%s %s is revoked\n", what, id);
    tx_release(done);
    return r;
}

static int key_revoke(struct admin *x, struct err *e)
{
    const char *id = keys_bare_id(x->opt.id, APIKEY_PREFIX);
    struct db_tx *tx = tx_new();

    keys_add_revoke(tx, id);
    return keys_revoked(x, tx, "key", id, e);
}

static int token_create(struct admin *x, struct err *e)
{
    char text[APIKEY_TEXT_SIZE];
    struct apikey key;
    struct db_tx *tx, *done;
    int64_t expires = 0;
    int r = admin_expiry(x->opt.expires, &expires, e);

    if (r < 0)
        return r;
    apikey_make(HOST_TOKEN_PREFIX, &key, text);
    tx = tx_new();
    host_tokens_add_create(tx, key.id, key.hash, x->opt.host, expires);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    keys_show_new(x, "token", key.id, text);
    tx_release(done);
    mem_wipe(text, sizeof(text));
    return 0;
}

static int token_list(struct admin *x, struct err *e)
{
    static const char *const times[] = {"created_at", "expires_at", "last_used_at", "revoked_at"};
    struct db_tx *tx = tx_new(), *done;
    char made[32], used[32];
    int r;

    host_tokens_add_list(tx);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    if (x->json)
        jw_karray(x->w, "host_tokens");
    for (int i = 0; i < tx_rows(done, 0); i++) {
        if (!x->json) {
            printf("bvh_%-13s %-28s made %-21s used %-21s%s\n", tx_col(done, 0, i, 0),
                   tx_col(done, 0, i, 1), admin_time(tx_col_i64(done, 0, i, 2), made),
                   admin_time(tx_col_i64(done, 0, i, 4), used),
                   tx_col_null(done, 0, i, 5) ? "" : " REVOKED");
            continue;
        }
        jw_object(x->w);
        jw_kstr(x->w, "id", tx_col(done, 0, i, 0));
        jw_kstr(x->w, "host", tx_col(done, 0, i, 1));
        for (int c = 0; c < (int)ARRAY_LEN(times); c++)
            admin_json_time(x, times[c], tx_col_i64(done, 0, i, 2 + c));
        jw_object_end(x->w);
    }
    if (x->json)
        jw_array_end(x->w);
    tx_release(done);
    return 0;
}

static int token_revoke(struct admin *x, struct err *e)
{
    const char *id = keys_bare_id(x->opt.id, HOST_TOKEN_PREFIX);
    struct db_tx *tx = tx_new();

    host_tokens_add_revoke(tx, id);
    return keys_revoked(x, tx, "host token", id, e);
}

const struct admin_command admin_keys[] = {
    {"key", "create",
     "--email ADDRESS [--team SLUG] [--name NAME] [--scopes read|write|read,write] [--expires "
     "TIME]",
     "Makes an API key of a user, for one team or for all of the user's, and prints it once.",
     "email", "team name scopes expires", key_create},
    {"key", "list", "[--email ADDRESS]", "Lists API keys; secrets are not kept.", "", "email",
     key_list},
    {"key", "revoke", "ID", "Revokes an API key at once.", "id", "", key_revoke},
    {"host-token", "create", "--host NAME [--expires TIME]",
     "Makes the token that the host of that name (its certificate's common name) reports with, and "
     "prints it once.",
     "host", "expires", token_create},
    {"host-token", "list", "", "Lists host tokens.", "", "", token_list},
    {"host-token", "revoke", "ID", "Revokes a host token at once.", "id", "", token_revoke},
    {0},
};
