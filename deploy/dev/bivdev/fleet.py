# SPDX-License-Identifier: Apache-2.0
"""fleet - what control knows of this host, read from the private database."""
import json

from bivdev.postgres import Postgres, PostgresError

FRESH_S = 15  # a report older than that says nothing about now

SQL = """
SELECT json_build_object('name', name, 'accelerator', accelerator, 'draining', draining, 'templates', templates, 'version', version,
                         'age_s', extract(epoch FROM now() - heartbeat_at))
FROM hosts WHERE name = '{name}'
"""


def host_status(inst):
    """The host's last report as a dict, or None when there is no recent one."""
    try:
        text = inst.postgres.query(SQL.format(name=inst.host_name), database=Postgres.DATABASE)
    except PostgresError:
        return None
    host = json.loads(text) if text else None
    return host if host and host["age_s"] < FRESH_S else None


def template_status(inst, slug="base"):
    """{slug, version, status, message?}; status "no report" while the host has not said anything about it."""
    host = host_status(inst)
    for template in host["templates"] if host else []:
        if template["slug"] == slug:
            return template
    return {"slug": slug, "status": "no report"}
