/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* id - random bytes and identifiers. */
#include <stddef.h>
#include <stdint.h>

/* From the kernel's generator; aborts if there is none. */
void random_bytes(void *p, size_t len);
uint64_t random_u64(void);

enum { ROUTE_TOKEN_LEN = 24, REQUEST_ID_LEN = 20 };
/* a-z0-9, the first one a letter; out gets a NUL. 120 bits. */
void id_route_token(char out[ROUTE_TOKEN_LEN + 1]);
/* "req_" + 16 of a-z0-9 */
void id_request(char out[REQUEST_ID_LEN + 1]);
/* n characters of a-z0-9 and a NUL */
void id_random(char *out, size_t n);
/* 2*n hex digits and a NUL */
void id_random_hex(char *out, size_t n);
