/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_gw_client_frame - what a client says; and the short way for stdin gives what the long way gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "dataplane/gateway/stream/client_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_frame(const struct client_frame *f)
{
    switch (f->type) {
    case CLIENT_START:
        check(f->start.cmd && f->start.cmd[0] && (!f->start.id || process_id_valid(f->start.id)));
        check(f->start.timeout_ms >= 0);
        if (f->start.has_pty)
            check(f->start.pty.cols >= 1 && f->start.pty.cols <= 1000 && f->start.pty.rows >= 1 && f->start.pty.rows <= 1000);
        break;
    case CLIENT_SIGNAL:
        check(f->signal >= 1 && f->signal <= 64);
        break;
    case CLIENT_RESIZE:
        check(f->cols >= 1 && f->cols <= 1000 && f->rows >= 1 && f->rows <= 1000);
        break;
    case CLIENT_STDIN:
    case CLIENT_CLOSE_STDIN:
    case CLIENT_PING:
        break;
    }
}

/* With one more member the same message goes the long way. */
static void check_long_way(const uint8_t *data, size_t size, struct arena *a, const struct client_frame *f)
{
    static const char more[] = "\"\\u0001\":0,";
    const uint8_t *brace = memchr(data, '{', size);
    size_t head = (size_t) (brace - data) + 1;
    char *text = malloc(size + sizeof(more));
    struct client_frame g;

    check(brace && text);
    memcpy(text, data, head);
    memcpy(text + head, more, sizeof(more) - 1);
    memcpy(text + head + sizeof(more) - 1, data + head, size - head);
    check(client_frame_decode(text, size + sizeof(more) - 1, a, &g, NULL) == 0);
    check(g.type == CLIENT_STDIN && g.data.len == f->data.len && (g.data.len == 0 || memcmp(g.data.data, f->data.data, g.data.len) == 0));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 << 20);
    struct err e = ERR_INIT;
    struct client_frame f;

    if (client_frame_decode(data, size, a, &f, &e) < 0) {
        check(e.text[0] != '\0');
    } else {
        check_frame(&f);
        if (f.type == CLIENT_STDIN && !memmem(data, size, "\\u0001", 6))
            check_long_way(data, size, a, &f);
    }
    arena_free(a);
    return 0;
}
