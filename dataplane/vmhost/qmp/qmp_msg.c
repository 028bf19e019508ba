/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_msg - see qmp_msg.h */
#include "dataplane/vmhost/qmp/qmp_msg.h"
#include "common/base/err.h"
#include "common/json/json.h"
#include <errno.h>
#include <string.h>

void qmp_msg_deinit(struct qmp_msg *m)
{
    json_doc_free(m->doc);
    memset(m, 0, sizeof(*m));
}

void qmp_reader_init(struct qmp_reader *r)
{
    buf_init(&r->in, QMP_LINE_MAX + 64 * KIB); /* a line, and what one read may add */
    r->scanned = 0;
}

void qmp_reader_deinit(struct qmp_reader *r)
{
    buf_deinit(&r->in);
}

static int qmp_msg_sort(struct qmp_msg *m, struct err *e)
{
    const struct json *root = json_root(m->doc);
    const struct json *error = json_get(root, "error");

    m->has_id = json_u64(json_get(root, "id"), &m->id);
    if (json_get(root, "QMP")) {
        m->kind = QMP_GREETING;
    } else if (json_get(root, "return")) {
        m->kind = QMP_RETURN;
        m->data = json_get(root, "return");
    } else if (error) {
        m->kind = QMP_ERROR;
        m->name = json_str(json_get(error, "class"));
        m->text = json_str(json_get(error, "desc"));
    } else if (json_str(json_get(root, "event"))) {
        m->kind = QMP_EVENT;
        m->name = json_str(json_get(root, "event"));
        m->data = json_get(root, "data");
    } else {
        return err_set(e, -EINVAL, "QMP message of an unknown kind");
    }
    if (m->kind == QMP_ERROR && (!m->name || !m->text))
        return err_set(e, -EINVAL, "QMP error without words");
    return 0;
}

static int qmp_msg_parse(const void *p, size_t len, struct qmp_msg *out, struct err *e)
{
    struct qmp_msg m = {0};
    int r = json_parse(&m.doc, p, len, e);

    if (r == 0)
        r = qmp_msg_sort(&m, e);
    if (r < 0) {
        qmp_msg_deinit(&m);
        return err_wrap(e, -EINVAL, "QMP");
    }
    *out = m;
    return QMP_READ_OK;
}

int qmp_reader_next(struct qmp_reader *r, struct qmp_msg *out, struct err *e)
{
    for (;;) {
        const uint8_t *p = buf_data(&r->in);
        const uint8_t *end = r->in.len > r->scanned ? memchr(p + r->scanned, '\n', r->in.len - r->scanned) : NULL;
        size_t len;
        int res;

        if (!end) {
            r->scanned = r->in.len;
            if (r->in.len > QMP_LINE_MAX)
                return err_set(e, -EMSGSIZE, "QMP line of more than %d bytes", QMP_LINE_MAX);
            return QMP_READ_MORE;
        }
        len = (size_t) (end - p);
        while (len > 0 && (p[len - 1] == '\r' || p[len - 1] == ' '))
            len--;
        r->scanned = 0;
        if (len == 0) {
            buf_consume(&r->in, (size_t) (end - p) + 1);
            continue;
        }
        res = len > QMP_LINE_MAX ? err_set(e, -EMSGSIZE, "QMP line of %zu bytes", len) : qmp_msg_parse(p, len, out, e);
        buf_consume(&r->in, (size_t) (end - p) + 1);
        return res;
    }
}
