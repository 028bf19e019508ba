/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* admin - the operator's commands: 'bivouac-control admin <noun> <verb> ...'. They speak to the
 * database, not to a running control. */
struct arena;

/* argv[0] is "admin". Returns the exit status: 0 done, 1 refused or failed (said on stderr), 2
 * wrong usage. */
int admin_main(int argc, char **argv, struct arena *a);
