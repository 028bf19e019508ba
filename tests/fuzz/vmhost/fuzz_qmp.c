/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_qmp - whatever a QEMU writes on its monitor: it is taken apart or refused, in one piece and in two alike. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/json/json.h"
#include "dataplane/vmhost/qmp/qmp_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct count {
    unsigned messages;
    int end;
};

static void drain(struct qmp_reader *r, struct count *c)
{
    struct qmp_msg m;
    struct err e = ERR_INIT;

    while (c->end == 0 && (c->end = qmp_reader_next(r, &m, &e)) == QMP_READ_OK) {
        c->messages++;
        if ((m.kind == QMP_EVENT && !m.name) || (m.kind == QMP_ERROR && (!m.name || !m.text)))
            abort();
        qmp_msg_deinit(&m);
    }
    if (c->end == QMP_READ_MORE)
        c->end = 0;
    else if (c->end < 0 && !e.text[0])
        abort();
}

static struct count run(const uint8_t *data, size_t size, size_t cut)
{
    struct count c = {0};
    struct qmp_reader r;

    qmp_reader_init(&r);
    if (buf_append(&r.in, data, cut) == 0)
        drain(&r, &c);
    if (c.end == 0 && buf_append(&r.in, data + cut, size - cut) == 0)
        drain(&r, &c);
    qmp_reader_deinit(&r);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct count whole = run(data, size, size), parts = run(data, size, size / 2);

    if (whole.messages != parts.messages || (whole.end < 0) != (parts.end < 0))
        abort();
    return 0;
}
