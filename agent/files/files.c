/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files/files.h"
#include <stdlib.h>
#include "common/base/mem.h"

struct file_pool {
    struct loop *loop;
    struct reaper *reaper;
    char *workspace;
};

const struct route files_routes[] = {
    {0},
};

int file_pool_new(struct file_pool **out, struct loop *l, struct reaper *r, const char *workspace)
{
    struct file_pool *p = xnew(struct file_pool);

    p->loop = l;
    p->reaper = r;
    p->workspace = xstrdup(workspace);
    *out = p;
    return 0;
}

void file_pool_free(struct file_pool *p)
{
    if (!p)
        return;
    free(p->workspace);
    free(p);
}
