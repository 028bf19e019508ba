/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* attr - compiler attributes by the names the code base uses. */

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define no_return __attribute__((noreturn))
#define maybe_unused __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *) ((char *) (ptr) - offsetof(type, member)))

enum { KIB = 1024, MIB = 1024 * 1024 };
