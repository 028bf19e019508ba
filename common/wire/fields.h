/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* fields - short forms for the rows of this folder's tables; T is the struct of the table. */
#include <stddef.h>
#include "common/json/json.h"

enum { WIRE_TEXT_MAX = 4 * KIB, WIRE_ID_MAX = 128, WIRE_ENV_MAX = 1000 };

#define F_(T, kind_, name_, member, flags_, min_, max_, nested_)                                   \
    {                                                                                              \
        .name = name_, .kind = kind_, .flags = flags_, .offset = offsetof(T, member),              \
        .present = JSON_NO_PRESENT, .min = min_, .max = max_, .nested = nested_                    \
    }
#define F_TEXT(T, name, member, flags, min, max) F_(T, JSON_F_STRING, name, member, flags, min, max, NULL)
#define F_INT(T, name, member, flags, min, max) F_(T, JSON_F_INT, name, member, flags, min, max, NULL)
#define F_U64(T, name, member, flags) F_(T, JSON_F_U64, name, member, flags, 0, 0, NULL)
#define F_BOOL(T, name, member, flags) F_(T, JSON_F_BOOL, name, member, flags, 0, 0, NULL)
#define F_MAP(T, name, member, flags) F_(T, JSON_F_MAP, name, member, flags, 0, WIRE_ENV_MAX, NULL)
#define F_STRINGS(T, name, member, flags, max) F_(T, JSON_F_STRINGS, name, member, flags, 0, max, NULL)
#define F_NESTED(T, name, member, flags, table) F_(T, JSON_F_OBJECT, name, member, flags, 0, 0, table)
#define F_ARRAY(T, name, member, flags, max, table) F_(T, JSON_F_ARRAY, name, member, flags, 0, max, table)
#define F_END {0}
