/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stream/act.h"

#include <errno.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "dataplane/gateway/stream/client_frame.h"
#include "dataplane/gateway/stream/pstream.h"
#include "dataplane/gateway/stream/streams.h"

enum { ACT_ANSWER_MS = 30000 };

int act_input(struct pstream *p, struct stdin_owner *owner, const struct client_frame *f)
{
    if (meta_finished(&p->meta))
        return 0;
    return stdin_queue_add(&p->input, owner, f->data.data, f->data.len, f->type == CLIENT_CLOSE_STDIN);
}

/* The whole group: a shell's signal is meant for what it runs, as a terminal would do it. */
int act_signal(struct pstream *p, const struct client_frame *f)
{
    cleanup(buf_deinit) struct buf json = BUF_INIT(4096);
    struct link_signal sig = {.signal = f->signal, .group = true};
    struct link_msg m = {.type = LINK_SIGNAL, .pid = p->pid, .pid_len = (uint8_t) strlen(p->pid)};
    int r = link_write_signal(&json, &sig);

    if (r < 0 || meta_finished(&p->meta))
        return r;
    m.data = buf_data(&json);
    m.data_len = json.len;
    return p->streams->link ? alink_request(p->streams->link, &m, ACT_ANSWER_MS, NULL, NULL, NULL) : -ENOTCONN;
}

void act_resize(struct pstream *p, const struct client_frame *f)
{
    struct link_msg m = {.type = LINK_RESIZE, .pid = p->pid, .pid_len = (uint8_t) strlen(p->pid), .cols = (uint16_t) f->cols,
                         .rows = (uint16_t) f->rows};

    /* The next resize repairs one that was lost. */
    if (p->streams->link && !meta_finished(&p->meta))
        (void) !alink_request(p->streams->link, &m, ACT_ANSWER_MS, NULL, NULL, NULL);
}
