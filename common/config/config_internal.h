/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* config_internal - what the files of this folder share. */
#include "common/config/config.h"

enum { CONFIG_FILE_MAX = MIB, CONFIG_STRING_MAX = 4 * KIB };

const char *config_type_name(enum config_type type);
/* NULL when it is one (or, with `list`, several with spaces between); else what is wrong with it. */
const char *config_addr_check(const char *s, bool list) must_check;
