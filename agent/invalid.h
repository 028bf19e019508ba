/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* invalid - the answer to a member of a query or body that is well-formed and wrong: 422 invalid_request, as the router's own. */

struct http_req;

/* {"error":"invalid_request","message":"<field>: <rule>","details":{"field":"<field>"}} */
void reply_invalid(struct http_req *r, const char *field, const char *rule);
