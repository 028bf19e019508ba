/* SPDX-License-Identifier: Apache-2.0 */
/* bivouac-load - load on a Bivouac from an independent implementation of WebSocket and HTTP. */
#include "tests/load/conn.h"

int main(int argc, char **argv)
{
    struct options o;
    int r = options_parse(&o, argc, argv);

    if (r == 0)
        r = o.mode == LOAD_HTTP ? http_load(&o) : ws_load(&o);
    options_deinit(&o);
    return r;
}
