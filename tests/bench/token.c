/* SPDX-License-Identifier: Apache-2.0 */
/* bench-token - prints a session token: bench-token KID PRIVATE_KEY_FILE SANDBOX_ID ROUTE_TOKEN TEAM SECONDS */
#include <stdio.h>
#include <stdlib.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "common/jwt/jwt.h"

int main(int argc, char **argv)
{
    struct session_claims c = {.scope = "sandbox", .issued_at = clock_real_ms() / 1000};
    struct err e = ERR_INIT;
    struct jwt_signer *s;
    int64_t seconds;
    char *token;

    if (argc != 7 || str_to_i64(argv[6], &seconds) < 0 || !str_copy(c.sandbox_id, sizeof(c.sandbox_id), argv[3]) ||
        !str_copy(c.route_token, sizeof(c.route_token), argv[4]) || !str_copy(c.team, sizeof(c.team), argv[5])) {
        fprintf(stderr, "usage: bench-token KID PRIVATE_KEY_FILE SANDBOX_ID ROUTE_TOKEN TEAM SECONDS\n");
        return 2;
    }
    c.expires_at = c.issued_at + seconds;
    id_random(c.jti, 20);
    if (jwt_signer_load(&s, argv[1], argv[2], &e) < 0) {
        fprintf(stderr, "bench-token: %s\n", e.text);
        return 1;
    }
    if (jwt_sign_session(s, &c, &token) < 0) {
        fprintf(stderr, "bench-token: these claims cannot be signed\n");
        return 1;
    }
    puts(token);
    free(token);
    jwt_signer_free(s);
    return 0;
}
