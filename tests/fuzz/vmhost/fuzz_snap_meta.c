/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_snap_meta - any bytes as the description of a snapshot. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "dataplane/vmhost/image/snap_meta.h"
#include "dataplane/vmhost/priv/privop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct snap_meta m;
    struct err e = ERR_INIT;

    if (snap_meta_parse(data, size, a, &m, &e) == 0 && (!privop_hash_valid(m.fingerprint) || !privop_hash_valid(m.rootfs) || m.cpu_count < 1))
        abort();
    arena_free(a);
    return 0;
}
