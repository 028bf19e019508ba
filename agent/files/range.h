/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* range - the Range header of one part (RFC 9110 14.2). Several parts, other units and malformed headers are ignored: the whole is answered. */
#include <stdint.h>
#include "common/base/attr.h"

enum { RANGE_E_PART, RANGE_E_WHOLE, RANGE_E_UNSATISFIABLE };
/* Bytes *first .. *last of a file of that size. */
int range_parse(const char *header, uint64_t size, uint64_t *first, uint64_t *last) must_check;
