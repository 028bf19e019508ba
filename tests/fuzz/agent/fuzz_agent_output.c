/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_agent_output - output in pieces of any size, acknowledgements and readers at any time: what a reader gets is what was written, in
 * order, and no frame ends inside a character that is complete later. Each piece is preceded by two bytes: its length and what happens then.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "agent/procs/frames.h"
#include "agent/procs/output.h"
#include "common/base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct frames_reader at;
    struct buf in, text;
    uint64_t next;
};

static void reading_take(struct reading *r, const struct frames *f, size_t step)
{
    const uint8_t *p;
    size_t len, used;
    uint64_t lost;

    while (frames_read(f, &r->at, &p, &len, &lost) == FRAMES_E_OK && step) {
        size_t n = len < step ? len : step;

        assert(buf_append(&r->in, p, n) == 0);
        frames_advance(&r->at, n);
        step -= n;
    }
    for (;;) {
        struct link_msg m;
        int got = link_decode(buf_data(&r->in), r->in.len, &m, &used);

        if (got == LINK_E_MORE)
            return;
        assert(got == LINK_E_OK && m.type == LINK_FRAME && m.cursor == r->next);
        r->next += 2;
        if (m.kind == LINK_STDOUT)
            assert(buf_append(&r->text, m.data, m.data_len) == 0);
        buf_consume(&r->in, used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frames_budget budget;
    struct frames f;
    struct output o = {.kind = LINK_STDOUT};
    struct reading r = {.in = BUF_INIT(0), .text = BUF_INIT(0), .next = 1};
    struct buf written = BUF_INIT(0);

    frames_budget_init(&budget, 1 << 20);
    frames_init(&f, &budget, "p");
    frames_reader_init(&r.at, 1);
    frames_append(&f, LINK_STARTED, "{}", 2);
    while (size >= 2) {
        size_t len = data[0];
        unsigned then = data[1];

        data += 2;
        size -= 2;
        len = len < size ? len : size;
        output_feed(&o, &f, data, len);
        assert(buf_append(&written, data, len) == 0);
        data += len;
        size -= len;
        if (then & 1)
            reading_take(&r, &f, then);
        if (then & 2)
            output_flush(&o, &f);
        if ((then & 4) && r.next > 1) {
            assert(frames_ack(&f, r.next - 2, 1));
            frames_trim(&f, then & 8 ? 1 + FRAMES_KEEP_MS : 1);
        }
    }
    output_flush(&o, &f);
    reading_take(&r, &f, SIZE_MAX);
    assert(r.next == f.next);
    assert(r.text.len == written.len && (!written.len || memcmp(buf_data(&r.text), buf_data(&written), written.len) == 0));
    frames_reader_deinit(&r.at);
    frames_deinit(&f);
    assert(budget.bytes == 0);
    frames_budget_deinit(&budget);
    buf_deinit(&r.in);
    buf_deinit(&r.text);
    buf_deinit(&written);
    return 0;
}
