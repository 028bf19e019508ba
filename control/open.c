/* SPDX-License-Identifier: Apache-2.0 */
/* open - see open.h. */
#include "control/open.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "control/config.h"
#include "control/db/migrate.h"
#include "control/db/pool.h"
#include "control/db/url.h"

int open_db_conf(const struct control_config *conf, bool prepare, struct arena *a,
                 struct db_conf *out, struct secret *password, struct err *e)
{
    cleanup(secret_deinit) struct secret url = {0};
    int r = secret_load(&url, conf->database_url_file, e);

    if (r < 0)
        return err_wrap(e, r, "database_url_file");
    r = db_url_parse((const char *)url.bytes, a, out, password, e);
    if (r < 0)
        return err_wrap(e, r, "database_url_file '%s'", conf->database_url_file);
    out->conns_max = (unsigned)conf->db_conns;
    out->queue_max = (unsigned)conf->db_queue;
    out->wait_ms = (uint32_t)conf->db_wait_ms;
    out->statement_ms = (uint32_t)conf->db_statement_ms;
    out->prepare = prepare;
    out->schema_version = prepare ? migrations_latest(migrations_embedded()) : 0;
    return 0;
}
