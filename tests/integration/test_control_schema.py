# SPDX-License-Identifier: Apache-2.0
"""The schema's own promises, tried on the database itself: legal moves, quotas, reservations, events, immutable rows."""
import itertools

import psycopg2
import pytest

from support.control_stack import Stack

STATES = ["creating", "ready", "checkpointing", "restoring", "stopping", "stopped", "failed", "destroyed"]
LEASED = {"creating", "checkpointing", "restoring", "stopping"}
WAYS = {  # how to bring a new row to a state
    "creating": [], "ready": ["ready"], "checkpointing": ["ready", "checkpointing"], "stopping": ["ready", "stopping"],
    "stopped": ["ready", "stopping", "stopped"], "restoring": ["ready", "stopping", "stopped", "restoring"], "failed": ["failed"],
    "destroyed": ["destroyed"],
}


@pytest.fixture(scope="module")
def control():
    with Stack() as stack:
        control = stack.control
        control.user("schema@example.org")
        control.query("INSERT INTO hosts (name, api_url, capacity_vcpus, capacity_memory_mb, capacity_vms) VALUES ('h1', 'https://127.0.0.1:1', 8, 8192, 100),"
                      " ('h2', 'https://127.0.0.1:2', 8, 8192, 100)")
        control.stop()  # nobody else changes rows here
        yield control


@pytest.fixture
def db(control):
    connection = control.postgres.connect(control.database)
    connection.autocommit = False
    cursor = connection.cursor()
    yield cursor
    connection.rollback()
    connection.close()


def insert(db, state="creating", host=None, cpu=2, memory=1024):
    db.execute("INSERT INTO sandboxes (team_id, name, state, lease_until, host_id, on_host, template_id, template_version_id, route_token, cpu_count,"
               " memory_mb, timeout_s, deadline_at) SELECT t.id, 'x', %s, CASE WHEN %s = ANY (%s) THEN now() END, h.id, h.id IS NOT NULL, v.template_id,"
               " v.id, 'r' || substr(md5(random()::text), 1, 23), %s, %s, 60, now() FROM template_versions v, teams t LEFT JOIN hosts h ON h.name = %s"
               " WHERE t.slug = 'schema' LIMIT 1 RETURNING id", (state, state, list(LEASED), cpu, memory, host))
    return db.fetchone()[0]


def move(db, sandbox_id, state):
    db.execute("UPDATE sandboxes SET state = %s, lease_until = CASE WHEN %s = ANY (%s) THEN now() END,"
               " ended_at = CASE WHEN %s IN ('failed', 'destroyed') THEN now() END WHERE id = %s", (state, state, list(LEASED), state, sandbox_id))


def used(db):
    db.execute("SELECT used_sandboxes, used_vcpus, used_memory_mb FROM team_quotas q JOIN teams t ON t.id = q.team_id WHERE t.slug = 'schema'")
    return db.fetchone()


def reserved(db, host):
    db.execute("SELECT reserved_vms, reserved_vcpus, reserved_memory_mb FROM hosts WHERE name = %s", (host,))
    return db.fetchone()


def refuses(db, sqlstate, work):
    db.execute("SAVEPOINT s")
    with pytest.raises(psycopg2.Error) as error:
        work()
    assert error.value.pgcode == sqlstate, error.value
    db.execute("ROLLBACK TO s")


def test_every_move(db):
    db.execute("SELECT from_state, to_state FROM sandbox_moves")
    legal = set(db.fetchall())
    for start, to in itertools.product(STATES, STATES):
        sandbox_id = insert(db)
        for step in WAYS[start]:
            move(db, sandbox_id, step)
        if start == to or (start, to) in legal:
            move(db, sandbox_id, to)
        else:
            refuses(db, "BV003", lambda: move(db, sandbox_id, to))


def test_beginnings(db):
    for state in STATES:
        if state in ("creating", "restoring"):
            insert(db, state)
        else:
            refuses(db, "BV003" if state not in ("failed", "destroyed") else "BV003", lambda: insert(db, state))


def test_hz19_leases_belong_to_transitional_states(db):
    sandbox_id = insert(db)
    refuses(db, "23514", lambda: db.execute("UPDATE sandboxes SET lease_until = NULL WHERE id = %s", (sandbox_id,)))
    move(db, sandbox_id, "ready")
    refuses(db, "23514", lambda: db.execute("UPDATE sandboxes SET lease_until = now() WHERE id = %s", (sandbox_id,)))
    refuses(db, "23514", lambda: db.execute("UPDATE sandboxes SET state = 'destroyed' WHERE id = %s", (sandbox_id,)))


def test_quota_follows_the_state(db):
    assert used(db) == (0, 0, 0)
    sandbox_id = insert(db)
    costs = {"creating": (1, 2, 1024), "ready": (1, 2, 1024), "stopping": (1, 2, 1024), "stopped": (1, 0, 0), "restoring": (1, 2, 1024)}
    assert used(db) == costs["creating"]
    for state in ("ready", "stopping", "stopped", "restoring", "ready", "checkpointing", "ready"):
        move(db, sandbox_id, state)
        assert used(db) == costs.get(state, (1, 2, 1024)), state
    db.execute("UPDATE sandboxes SET cpu_count = 4 WHERE id = %s", (sandbox_id,))
    assert used(db) == (1, 4, 1024)
    move(db, sandbox_id, "failed")
    assert used(db) == (0, 0, 0)
    move(db, sandbox_id, "destroyed")
    assert used(db) == (0, 0, 0)


@pytest.mark.parametrize("limit", ["max_sandboxes = 2", "max_vcpus = 5", "max_memory_mb = 3000"])
def test_quota_is_a_wall(db, limit):
    db.execute(f"UPDATE team_quotas SET {limit}")
    first, second = insert(db), insert(db)
    refuses(db, "BV001", lambda: insert(db))
    # a limit that is lowered below what is used still lets things end
    db.execute("UPDATE team_quotas SET max_sandboxes = 0, max_vcpus = 0, max_memory_mb = 0")
    move(db, first, "destroyed")
    move(db, second, "ready")
    move(db, second, "stopping")
    move(db, second, "stopped")
    refuses(db, "BV001", lambda: move(db, second, "restoring"))
    move(db, second, "destroyed")
    assert used(db) == (0, 0, 0)


def test_room_on_hosts(db):
    sandbox_id = insert(db, host="h1")
    assert reserved(db, "h1") == (1, 2, 1024)
    db.execute("UPDATE sandboxes SET host_id = (SELECT id FROM hosts WHERE name = 'h2') WHERE id = %s", (sandbox_id,))
    assert reserved(db, "h1") == (0, 0, 0) and reserved(db, "h2") == (1, 2, 1024)
    move(db, sandbox_id, "destroyed")
    assert reserved(db, "h2") == (1, 2, 1024), "until the host says that it is gone"
    db.execute("UPDATE sandboxes SET on_host = false WHERE id = %s", (sandbox_id,))
    assert reserved(db, "h2") == (0, 0, 0)
    for _ in range(4):
        insert(db, host="h1")
    refuses(db, "BV002", lambda: insert(db, host="h1"))
    db.execute("UPDATE hosts SET draining = true WHERE name = 'h2'")
    refuses(db, "BV002", lambda: insert(db, host="h2"))
    refuses(db, "23514", lambda: db.execute("UPDATE sandboxes SET host_id = NULL WHERE on_host"))


def test_events(db):
    db.execute("SELECT set_config('bivouac.actor', 'key:abc', true), set_config('bivouac.request', 'req_1', true)")
    sandbox_id = insert(db, host="h1")
    move(db, sandbox_id, "ready")
    db.execute("UPDATE sandboxes SET name = 'y' WHERE id = %s", (sandbox_id,))
    db.execute("SELECT set_config('bivouac.actor', '', true)")
    move(db, sandbox_id, "failed")
    db.execute("SELECT kind, actor, request_id, data->>'from' FROM events WHERE sandbox_id = %s ORDER BY id", (sandbox_id,))
    assert db.fetchall() == [("sandbox.creating", "key:abc", "req_1", None), ("sandbox.ready", "key:abc", "req_1", "creating"),
                             ("sandbox.failed", "system", "req_1", "ready")]


def test_what_never_changes(db):
    sandbox_id = insert(db)
    refuses(db, "BV004", lambda: db.execute("DELETE FROM sandboxes WHERE id = %s", (sandbox_id,)))
    refuses(db, "BV004", lambda: db.execute("UPDATE sandboxes SET generation = 0 WHERE id = %s", (sandbox_id,)))
    refuses(db, "BV004", lambda: db.execute("UPDATE sandboxes SET route_token = 'r' || route_token WHERE id = %s", (sandbox_id,)))
    refuses(db, "BV004", lambda: db.execute("UPDATE template_versions SET memory_mb = 1"))
    refuses(db, "BV004", lambda: db.execute("UPDATE template_versions SET status = 'building'"))


def test_one_sequence_for_templates_and_versions(control, db):
    db.execute("INSERT INTO templates (slug, name) VALUES ('other', 'Other') RETURNING id")
    template = db.fetchone()[0]
    db.execute("INSERT INTO template_versions (template_id, version, status, source_kind, cpu_count, memory_mb) VALUES (%s, '1', 'draft', 'image', 1, 512)"
               " RETURNING id", (template,))
    assert db.fetchone()[0] > template
    db.execute("SELECT id FROM templates UNION ALL SELECT id FROM template_versions")
    ids = [i for i, in db.fetchall()]
    assert len(set(ids)) == len(ids)
