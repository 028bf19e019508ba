/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* library - json-c, with the two names out of the way that it shares with json.h. Before json.h in this folder's sources only. */
#define json_type json_c_type
#define json_bool json_c_bool
#include <json-c/json.h>
#undef json_type
#undef json_bool
