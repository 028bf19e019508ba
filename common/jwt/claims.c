/* SPDX-License-Identifier: Apache-2.0 */
/* claims - what a session token says: forms, required members, times. Unknown members are ignored: an older gateway meets newer tokens. */
#include <string.h>
#include "common/base/arena.h"
#include "common/base/str.h"
#include "common/json/json.h"
#include "common/jwt/jwt_internal.h"

struct payload {
    char *iss, *aud, *sub, *rt, *team, *scope, *jti;
    int64_t iat, exp;
};

#define TEXT(claim, from, to)                                                                      \
    {.name = #claim, .kind = JSON_F_STRING, .flags = JSON_REQUIRED, .offset = offsetof(struct payload, claim),                     \
     .present = JSON_NO_PRESENT, .min = (from), .max = (to)}
#define TIME(claim)                                                                                \
    {.name = #claim, .kind = JSON_F_INT, .flags = JSON_REQUIRED, .offset = offsetof(struct payload, claim),                        \
     .present = JSON_NO_PRESENT, .min = 1, .max = INT64_C(1) << 40}
#define ROOM(member) ((int64_t) sizeof(((struct session_claims *) 0)->member) - 1)

static const struct json_field payload_fields[] = {
    TEXT(iss, 1, 64),
    TEXT(aud, 1, 64),
    TEXT(sub, 1, ROOM(sandbox_id)),
    TEXT(rt, 1, ROOM(route_token)),
    TEXT(team, 1, ROOM(team)),
    TEXT(scope, 1, ROOM(scope)),
    TEXT(jti, 1, ROOM(jti)),
    TIME(iat),
    TIME(exp),
    {0},
};
static const struct json_table payload_table = {.fields = payload_fields, .size = sizeof(struct payload)};

static bool all_of(const char *s, bool (*is)(char c))
{
    for (; *s; s++) {
        if (!is(*s))
            return false;
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_route_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_visible(char c)
{
    return c > ' ' && c <= '~';
}

static bool is_scope_char(char c)
{
    return c == ' ' || is_visible(c);
}

bool jwt_claims_valid(const struct session_claims *c)
{
    size_t route_len = strlen(c->route_token);
    uint64_t id;

    return str_to_u64(c->sandbox_id, &id) == 0 && id > 0 && c->sandbox_id[0] != '0' && route_len >= 20 && route_len <= 40 &&
           !is_digit(c->route_token[0]) && all_of(c->route_token, is_route_char) && c->team[0] && all_of(c->team, is_visible) &&
           c->scope[0] && all_of(c->scope, is_scope_char) && c->jti[0] && all_of(c->jti, is_visible) && c->issued_at > 0 &&
           c->expires_at > c->issued_at;
}

static bool claims_fill(const struct payload *p, struct session_claims *out)
{
    *out = (struct session_claims){.issued_at = p->iat, .expires_at = p->exp};
    return str_copy(out->sandbox_id, sizeof(out->sandbox_id), p->sub) && str_copy(out->route_token, sizeof(out->route_token), p->rt) &&
           str_copy(out->team, sizeof(out->team), p->team) && str_copy(out->scope, sizeof(out->scope), p->scope) &&
           str_copy(out->jti, sizeof(out->jti), p->jti);
}

int jwt_claims_decode(const void *json, size_t len, struct session_claims *out)
{
    struct arena *a = arena_new(64 * KIB);
    struct session_claims claims;
    struct payload p;
    int r = JWT_E_CLAIMS;

    if (json_decode(&payload_table, json, len, a, &p, NULL) == 0 && str_eq(p.iss, JWT_ISSUER) && str_eq(p.aud, JWT_AUDIENCE) &&
        claims_fill(&p, &claims) && jwt_claims_valid(&claims)) {
        *out = claims;
        r = JWT_E_OK;
    }
    arena_free(a);
    return r;
}

int jwt_claims_check_time(const struct session_claims *c, int64_t now)
{
    if (c->expires_at <= now)
        return JWT_E_EXPIRED;
    return c->issued_at <= now + JWT_IAT_LEEWAY_S ? JWT_E_OK : JWT_E_CLAIMS;
}

const char *jwt_outcome_text(int outcome)
{
    static const char *const texts[] = {
        [JWT_E_OK] = "the token is valid",
        [JWT_E_MALFORMED] = "the token is malformed",
        [JWT_E_ALGORITHM] = "the token's algorithm is not accepted",
        [JWT_E_KEY] = "the token's key is not known",
        [JWT_E_SIGNATURE] = "the token's signature is wrong",
        [JWT_E_EXPIRED] = "the token has expired",
        [JWT_E_CLAIMS] = "the token's claims are not accepted",
    };

    return outcome >= 0 && outcome < (int) ARRAY_LEN(texts) ? texts[outcome] : "the token could not be checked";
}
