/* SPDX-License-Identifier: Apache-2.0 */
/* people - users, teams, their members and quotas. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "control/admin/command.h"
#include "control/db/quotas.h"
#include "control/db/teams.h"
#include "control/db/tx.h"
#include "control/db/users.h"
#include "control/sched/catalog.h"

static const char *const people_taken[][2] = {
    {"users_email", "a user with this e-mail address exists"},
    {"teams_slug_key", "a team with this slug exists; choose another one"},
    {NULL, NULL},
};

/* "Ada.Lovelace@example.org" -> "ada.lovelace" */
static char *people_slug(struct admin *x, const char *email)
{
    char *slug = arena_strndup(x->arena, email, strcspn(email, "@+"));

    for (char *p = slug; p && *p; p++) {
        *p = (char)tolower((unsigned char)*p);
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            *p = '-';
    }
    return slug && slug_valid(slug) ? slug : NULL;
}

static int user_create(struct admin *x, struct err *e)
{
    const char *slug = x->opt.team ? x->opt.team : people_slug(x, x->opt.email);
    struct db_tx *tx, *done;
    int r;

    if (!strchr(x->opt.email, '@'))
        return err_set(e, -EINVAL, "--email '%s' is not an e-mail address", x->opt.email);
    if (!slug || !slug_valid(slug))
        return err_set(
            e, -EINVAL,
            "give --team: a slug of letters, digits, '.', '_' and '-' that begins with a letter");
    tx = tx_new();
    users_add_create(tx, x->opt.email, x->opt.name ? x->opt.name : x->opt.email, slug);
    r = admin_run_unique(x, tx, people_taken, &done, e);
    if (r < 0)
        return r;
    if (x->json) {
        jw_kstr(x->w, "user_id", tx_col(done, 0, 0, 0));
        jw_kstr(x->w, "email", x->opt.email);
        jw_kstr(x->w, "team_id", tx_col(done, 0, 0, 1));
        jw_kstr(x->w, "team", tx_col(done, 0, 0, 2));
    } else {
        printf("user %s (id %s), personal team %s\n", x->opt.email, tx_col(done, 0, 0, 0),
               tx_col(done, 0, 0, 2));
    }
    tx_release(done);
    return 0;
}

static int team_create(struct admin *x, struct err *e)
{
    struct db_tx *tx, *done;
    int r;

    if (!slug_valid(x->opt.slug))
        return err_set(
            e, -EINVAL,
            "--slug '%s': letters, digits, '.', '_' and '-', the first one a letter, at most 63",
            x->opt.slug);
    tx = tx_new();
    teams_add_create(tx, x->opt.slug, x->opt.name ? x->opt.name : x->opt.slug);
    r = admin_run_unique(x, tx, people_taken, &done, e);
    if (r < 0)
        return r;
    if (x->json) {
        jw_kstr(x->w, "team_id", tx_col(done, 0, 0, 0));
        jw_kstr(x->w, "team", x->opt.slug);
    } else {
        printf("team %s (id %s)\n", x->opt.slug, tx_col(done, 0, 0, 0));
    }
    tx_release(done);
    return 0;
}

static int team_add_member(struct admin *x, struct err *e)
{
    const char *role = x->opt.role ? x->opt.role : "member";
    struct db_tx *tx, *done;
    int r;

    if (!str_eq(role, "owner") && !str_eq(role, "admin") && !str_eq(role, "member"))
        return err_set(e, -EINVAL, "--role '%s': must be owner, admin or member", role);
    tx = tx_new();
    teams_add_member(tx, x->opt.team, x->opt.email, role);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    if (tx_rows(done, 0) == 0)
        r = err_set(e, -ENOENT, "there is no team '%s' or no user '%s'", x->opt.team, x->opt.email);
    else if (!x->json)
        printf("%s is %s of team %s\n", x->opt.email, role, x->opt.team);
    tx_release(done);
    if (r == 0 && x->json) {
        jw_kstr(x->w, "team", x->opt.team);
        jw_kstr(x->w, "email", x->opt.email);
        jw_kstr(x->w, "role", role);
    }
    return r;
}

static int quota_number(const char *name, const char *text, int64_t *out, struct err *e)
{
    uint64_t n;

    *out = -1;
    if (!text)
        return 0;
    if (str_to_u64(text, &n) < 0 || n > INT32_MAX)
        return err_set(e, -EINVAL, "--%s '%s': must be a number", name, text);
    *out = (int64_t)n;
    return 0;
}

static int quota_set(struct admin *x, struct err *e)
{
    int64_t sandboxes = -1, vcpus = -1, memory = -1;
    struct db_tx *tx, *done;
    int r = quota_number("sandboxes", x->opt.sandboxes, &sandboxes, e);

    if (r == 0)
        r = quota_number("vcpus", x->opt.vcpus, &vcpus, e);
    if (r == 0)
        r = quota_number("memory-mb", x->opt.memory_mb, &memory, e);
    if (r < 0)
        return r;
    tx = tx_new();
    quotas_add_set(tx, x->opt.team, sandboxes, vcpus, memory);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    if (tx_rows(done, 0) == 0)
        r = err_set(e, -ENOENT, "there is no team '%s'", x->opt.team);
    else if (x->json)
        jw_kstr(x->w, "team", x->opt.team);
    else
        printf("quota of team %s is set\n", x->opt.team);
    tx_release(done);
    return r;
}

/* Counters against what the rows add up to. */
static int quota_check(struct admin *x, struct err *e)
{
    struct db_tx *tx = tx_new(), *done;
    int rows, r;

    quotas_add_audit(tx);
    r = admin_run(x, tx, &done, e);
    if (r < 0)
        return r;
    rows = tx_rows(done, 0);
    if (x->json)
        jw_karray(x->w, "wrong");
    for (int i = 0; i < rows; i++) {
        const char *kind = tx_col(done, 0, i, 0), *name = tx_col(done, 0, i, 1);

        if (x->json) {
            jw_object(x->w);
            jw_kstr(x->w, "kind", kind);
            jw_kstr(x->w, "name", name);
            jw_object_end(x->w);
        } else {
            printf("%s %s: its counters are not what its sandboxes add up to\n", kind, name);
        }
    }
    if (x->json)
        jw_array_end(x->w);
    else if (rows == 0)
        printf("all counters are right\n");
    tx_release(done);
    return 0;
}

const struct admin_command admin_people[] = {
    {"user", "create", "--email ADDRESS [--name NAME] [--team SLUG]",
     "Makes a user with a personal team; SLUG names the team.", "email", "name team", user_create},
    {"team", "create", "--slug SLUG [--name NAME]", "Makes a shared team.", "slug", "name",
     team_create},
    {"team", "add-member", "--team SLUG --email ADDRESS [--role owner|admin|member]",
     "Puts a user into a team, or changes the role.", "team email", "role", team_add_member},
    {"quota", "set", "--team SLUG [--sandboxes N] [--vcpus N] [--memory-mb N]",
     "Sets what a team may use at once.", "team", "sandboxes vcpus memory-mb", quota_set},
    {"quota", "check", "", "Compares the counters of teams and hosts with their sandboxes.", "", "",
     quota_check},
    {0},
};
