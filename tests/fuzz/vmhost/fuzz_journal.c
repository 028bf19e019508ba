/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_journal - any bytes as a journal entry: refused, or an entry that is written back as the same entry. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "dataplane/vmhost/vm/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_entry j, again;
    struct err e = ERR_INIT;
    struct buf text = BUF_INIT(JOURNAL_BYTES_MAX * 8);

    if (journal_decode(data, size, &j, &e) < 0)
        return 0;
    if (!privop_name_valid(j.id, sizeof(j.id)) || j.slot >= PRIV_SLOTS_MAX || strchr(j.id, '/'))
        abort();
    if (journal_encode(&text, &j) < 0)
        abort();
    if (text.len <= JOURNAL_BYTES_MAX && (journal_decode(buf_data(&text), text.len, &again, &e) < 0 || memcmp(&j, &again, sizeof(j)) != 0))
        abort();
    buf_deinit(&text);
    return 0;
}
