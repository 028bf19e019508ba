/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup - see cleanup.h */
#include "common/base/cleanup.h"
#include <errno.h>

void fd_closep(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}
