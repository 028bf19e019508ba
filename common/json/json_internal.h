/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* json_internal - what the files of this folder share. Knows the library; nobody outside includes it. */
#include "common/json/json.h"

struct json_object;
struct json_tokener;

enum { JSON_DEPTH_MAX = 32, JSON_BYTES_MAX = 256 * MIB, JSON_NUMBER_MAX = 256 };

/*
 * Checks that [p,len) is one strict JSON value; the library is only shown what passed. *members is the number of object
 * members in it. With `names` (a tokener for single strings) it also looks for the first member that is there twice.
 */
int json_scan(const void *p, size_t len, struct json_tokener *names, size_t *members, struct err *e) must_check;

/* The library has no object for null; ours is this address. */
extern const char json_null_value[];

static inline const struct json *json_wrap(const struct json_object *o)
{
    return o ? (const struct json *) o : (const struct json *) json_null_value;
}
static inline struct json_object *json_unwrap(const struct json *v)
{
    return v == (const struct json *) json_null_value ? NULL : (struct json_object *) v;
}

/* The bytes of a string value, NUL characters included; json_str_len() of them. */
const char *json_str_raw(const struct json *v);
