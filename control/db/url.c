/* SPDX-License-Identifier: Apache-2.0 */
/* url - see url.h. */
#include "control/db/url.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <libpq-fe.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "common/base/str.h"
#include "control/db/pool.h"

struct url_parts {
    const char *host, *hostaddr, *port, *name, *user, *password, *sslmode, *sslrootcert;
};

static const char **url_place(struct url_parts *p, const char *keyword)
{
    const struct {
        const char *keyword;
        const char **place;
    } known[] = {
        {"host", &p->host},       {"hostaddr", &p->hostaddr},
        {"port", &p->port},       {"dbname", &p->name},
        {"user", &p->user},       {"password", &p->password},
        {"sslmode", &p->sslmode}, {"sslrootcert", &p->sslrootcert},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(known[i].keyword, keyword))
            return known[i].place;
    }
    return NULL;
}

static bool url_is_address(const char *s)
{
    unsigned char a[16];

    return inet_pton(AF_INET, s, a) == 1 || inet_pton(AF_INET6, s, a) == 1;
}

static int url_take(const struct url_parts *p, struct arena *a, struct db_conf *out,
                    struct secret *password, struct err *e)
{
    uint64_t port = 5432;

    if (p->port && (str_to_u64(p->port, &port) < 0 || port < 1 || port > 65535))
        return err_set(e, -EINVAL, "the port must be 1..65535");
    if (!p->name || !p->user)
        return err_set(e, -EINVAL, "the database's name and the user must be given");
    const char *host = p->hostaddr ? p->hostaddr : p->host ? p->host : "/var/run/postgresql";

    if (host[0] != '/' && !url_is_address(host))
        return err_set(e, -EINVAL,
                       "'%s': give an IP address or the folder of a unix socket (looking a name up "
                       "would block)",
                       host);
    out->host = arena_strdup(a, host);
    out->port = (int64_t)port;
    out->name = arena_strdup(a, p->name);
    out->user = arena_strdup(a, p->user);
    out->sslmode = arena_strdup(a, p->sslmode ? p->sslmode : "prefer");
    out->sslrootcert = p->sslrootcert ? arena_strdup(a, p->sslrootcert) : NULL;
    out->password = NULL;
    if (p->password) {
        secret_set(password, p->password, strlen(p->password));
        out->password = password;
    }
    return out->host && out->name && out->user && out->sslmode ? 0 : -ENOMEM;
}

int db_url_parse(const char *text, struct arena *a, struct db_conf *out, struct secret *password,
                 struct err *e)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(text, &message);
    struct url_parts p = {0};
    int r = 0;

    PQfreemem(message); /* may quote the password */
    if (!options)
        return err_set(e, -EINVAL,
                       "not of the form postgresql://user:password@address:port/database");
    for (const PQconninfoOption *o = options; o->keyword && r == 0; o++) {
        const char **place = url_place(&p, o->keyword);

        if (place)
            *place = o->val && *o->val ? o->val : NULL;
        else if (o->val)
            r = err_set(e, -EINVAL, "the setting '%s' cannot be given here", o->keyword);
    }
    if (r == 0)
        r = url_take(&p, a, out, password, e);
    PQconninfoFree(options);
    return r;
}
