/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invalid.h"
#include <stdio.h>
#include "common/http/server.h"

void reply_invalid(struct http_req *r, const char *field, const char *rule)
{
    char message[256], details[96];

    snprintf(message, sizeof(message), "%s: %s", field, rule);
    snprintf(details, sizeof(details), "{\"field\":\"%s\"}", field); /* names of ours: no quotes in them */
    http_reply_error_details(r, 422, "invalid_request", message, details);
}
