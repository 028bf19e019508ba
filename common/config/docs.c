/* SPDX-License-Identifier: Apache-2.0 */
/* docs - a table of keys as markdown. */
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/config/config_internal.h"
#include <inttypes.h>
#include <string.h>

/* Text inside of a table cell. */
static int put_cell(struct buf *out, const char *s)
{
    int r = 0;

    for (; r == 0 && *s; s++)
        r = *s == '|' ? buf_append_str(out, "\\|") : buf_append(out, s, 1);
    return r;
}

static int put_default(const struct config_key *k, struct buf *out)
{
    if (!k->fallback)
        return buf_append_str(out, "required");
    return *k->fallback ? buf_printf(out, "`%s`", k->fallback) : buf_append_str(out, "empty");
}

static int put_range(const struct config_key *k, struct buf *out)
{
    const char *unit = k->type == CONFIG_INT ? "" : " bytes";

    if (!k->min && !k->max)
        return 0;
    if (!k->max)
        return buf_printf(out, "at least %" PRId64 "%s", k->min, unit);
    return buf_printf(out, "%" PRId64 "..%" PRId64 "%s", k->min, k->max, unit);
}

static int put_row(const struct config_key *k, struct buf *out)
{
    int r = buf_printf(out, "| `%s` | %s | ", k->name, config_type_name(k->type));

    if (r == 0)
        r = put_default(k, out);
    if (r == 0)
        r = buf_append_str(out, " | ");
    if (r == 0)
        r = put_range(k, out);
    if (r == 0)
        r = buf_printf(out, " | %s | ", k->reloadable ? "yes" : "no");
    if (r == 0)
        r = put_cell(out, k->help ? k->help : "");
    return r == 0 ? buf_append_str(out, " |\n") : r;
}

int config_write_markdown(const struct config_table *t, struct buf *out)
{
    int r = buf_printf(out,
                       "## %s\n\n"
                       "| key | type | default | range | reload | meaning |\n"
                       "|---|---|---|---|---|---|\n",
                       t->program);

    for (const struct config_key *k = t->keys; r == 0 && k->name; k++)
        r = put_row(k, out);
    return r;
}
