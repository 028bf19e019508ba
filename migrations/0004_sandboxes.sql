-- SPDX-License-Identifier: Apache-2.0
-- Sandboxes: what should be. Legal moves, quotas, host reservations and life-cycle events are kept by triggers, so that no statement can
-- forget them. SQLSTATEs of ours: BV001 quota exceeded, BV002 host full, BV003 illegal move, BV004 immutable row.

CREATE TABLE team_quotas (
    team_id        bigint PRIMARY KEY REFERENCES teams (id),
    max_sandboxes  bigint NOT NULL DEFAULT 100,
    max_vcpus      bigint NOT NULL DEFAULT 200,
    max_memory_mb  bigint NOT NULL DEFAULT 262144,
    used_sandboxes bigint NOT NULL DEFAULT 0 CHECK (used_sandboxes >= 0),
    used_vcpus     bigint NOT NULL DEFAULT 0 CHECK (used_vcpus >= 0),
    used_memory_mb bigint NOT NULL DEFAULT 0 CHECK (used_memory_mb >= 0)
) WITH (fillfactor = 50);

CREATE FUNCTION teams_add_quota() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO team_quotas (team_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER teams_add_quota AFTER INSERT ON teams FOR EACH ROW EXECUTE FUNCTION teams_add_quota();

CREATE TABLE sandboxes (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id             bigint NOT NULL REFERENCES teams (id),
    created_by_key      text REFERENCES api_keys (id),
    name                text NOT NULL,
    state               text NOT NULL CHECK (state IN ('creating', 'ready', 'checkpointing', 'restoring', 'stopping', 'stopped', 'failed', 'destroyed')),
    -- who works on a transitional state holds its lease; an expired one is taken back by a job
    lease_until         timestamptz,
    generation          bigint NOT NULL DEFAULT 1 CHECK (generation > 0),
    host_id             bigint REFERENCES hosts (id),
    on_host             boolean NOT NULL DEFAULT false, -- a VM of this row may exist there: its room is reserved
    missing_since       timestamptz,                    -- the host's reports do not show it
    template_id         bigint NOT NULL REFERENCES templates (id),
    template_version_id bigint NOT NULL REFERENCES template_versions (id),
    route_token         text NOT NULL UNIQUE CHECK (route_token ~ '^[a-z][a-z0-9]{19,39}$'),
    cpu_count           integer NOT NULL CHECK (cpu_count > 0),
    memory_mb           integer NOT NULL CHECK (memory_mb > 0),
    timeout_s           integer NOT NULL CHECK (timeout_s > 0),
    deadline_at         timestamptz NOT NULL,
    on_timeout          text NOT NULL DEFAULT 'kill' CHECK (on_timeout IN ('kill', 'pause')),
    auto_resume         boolean NOT NULL DEFAULT false,
    keep_hot            boolean NOT NULL DEFAULT false,
    metadata            jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    network             jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(network) = 'object'),
    env_box             bytea, -- AES-256-GCM of a JSON object, bound to the route token
    end_reason          text,
    end_message         text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    ended_at            timestamptz,
    CHECK ((state IN ('creating', 'checkpointing', 'restoring', 'stopping')) = (lease_until IS NOT NULL)),
    CHECK ((state IN ('failed', 'destroyed')) = (ended_at IS NOT NULL)),
    CHECK (NOT on_host OR host_id IS NOT NULL),
    CHECK (on_timeout = 'pause' OR NOT auto_resume)
) WITH (fillfactor = 80);
CREATE INDEX sandboxes_team ON sandboxes (team_id, id DESC);
CREATE INDEX sandboxes_team_live ON sandboxes (team_id, id DESC) WHERE state NOT IN ('failed', 'destroyed');
CREATE INDEX sandboxes_host ON sandboxes (host_id) WHERE on_host;
CREATE INDEX sandboxes_lease ON sandboxes (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX sandboxes_deadline ON sandboxes (deadline_at) WHERE state = 'ready';

-- The same table stands in control/life/state.c; a test compares them.
CREATE TABLE sandbox_moves (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO sandbox_moves (from_state, to_state) VALUES
    ('creating', 'ready'), ('creating', 'failed'), ('creating', 'destroyed'),
    ('ready', 'checkpointing'), ('ready', 'stopping'), ('ready', 'failed'), ('ready', 'destroyed'),
    ('checkpointing', 'ready'), ('checkpointing', 'failed'), ('checkpointing', 'destroyed'),
    ('stopping', 'stopped'), ('stopping', 'ready'), ('stopping', 'failed'), ('stopping', 'destroyed'),
    ('stopped', 'restoring'), ('stopped', 'failed'), ('stopped', 'destroyed'),
    ('restoring', 'ready'), ('restoring', 'stopped'), ('restoring', 'failed'), ('restoring', 'destroyed'),
    ('failed', 'destroyed');

CREATE FUNCTION sandboxes_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('creating', 'restoring') THEN
            RAISE EXCEPTION 'a sandbox cannot begin as %', NEW.state USING ERRCODE = 'BV003';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state <> OLD.state
        AND NOT EXISTS (SELECT 1 FROM sandbox_moves m WHERE m.from_state = OLD.state AND m.to_state = NEW.state) THEN
        RAISE EXCEPTION 'sandbox % cannot go from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'BV003';
    END IF;
    IF NEW.generation < OLD.generation OR NEW.team_id <> OLD.team_id OR NEW.route_token <> OLD.route_token THEN
        RAISE EXCEPTION 'sandbox %: team and route token cannot change, generation only grows', OLD.id USING ERRCODE = 'BV004';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sandboxes_guard BEFORE INSERT OR UPDATE ON sandboxes FOR EACH ROW EXECUTE FUNCTION sandboxes_guard();

-- What a state costs: a sandbox counts until it has ended, its vCPUs and memory while it is not stopped.
CREATE FUNCTION sandbox_counts(state text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN state IN ('failed', 'destroyed') THEN 0 ELSE 1 END;
CREATE FUNCTION sandbox_runs(state text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN state IN ('stopped', 'failed', 'destroyed') THEN 0 ELSE 1 END;

CREATE FUNCTION quota_move(team bigint, sandboxes bigint, vcpus bigint, memory bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF sandboxes = 0 AND vcpus = 0 AND memory = 0 THEN
        RETURN;
    END IF;
    UPDATE team_quotas q
       SET used_sandboxes = q.used_sandboxes + sandboxes,
           used_vcpus = q.used_vcpus + vcpus,
           used_memory_mb = q.used_memory_mb + memory
     WHERE q.team_id = team
       AND (sandboxes <= 0 OR q.used_sandboxes + sandboxes <= q.max_sandboxes)
       AND (vcpus <= 0 OR q.used_vcpus + vcpus <= q.max_vcpus)
       AND (memory <= 0 OR q.used_memory_mb + memory <= q.max_memory_mb);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'team % has reached its sandbox quota', team USING ERRCODE = 'BV001';
    END IF;
END $$;

CREATE FUNCTION host_move(host bigint, vms bigint, vcpus bigint, memory bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF vms = 0 AND vcpus = 0 AND memory = 0 THEN
        RETURN;
    END IF;
    UPDATE hosts h
       SET reserved_vms = h.reserved_vms + vms,
           reserved_vcpus = h.reserved_vcpus + vcpus,
           reserved_memory_mb = h.reserved_memory_mb + memory
     WHERE h.id = host
       AND (vms <= 0 OR (h.reserved_vms + vms <= h.capacity_vms AND NOT h.draining))
       AND (vcpus <= 0 OR h.reserved_vcpus + vcpus <= h.capacity_vcpus)
       AND (memory <= 0 OR h.reserved_memory_mb + memory <= h.capacity_memory_mb);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'host % has no room', host USING ERRCODE = 'BV002';
    END IF;
END $$;

-- Always the team first, then the host: one order of locks.
CREATE FUNCTION sandboxes_account() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was integer := 0; ran integer := 0; lay integer := 0;
    o_cpu bigint := 0; o_mem bigint := 0;
    old_host bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        was := sandbox_counts(OLD.state);
        ran := sandbox_runs(OLD.state);
        lay := OLD.on_host::integer;
        o_cpu := OLD.cpu_count;
        o_mem := OLD.memory_mb;
        old_host := OLD.host_id;
    END IF;
    PERFORM quota_move(NEW.team_id, sandbox_counts(NEW.state) - was,
        sandbox_runs(NEW.state) * NEW.cpu_count - ran * o_cpu,
        sandbox_runs(NEW.state) * NEW.memory_mb - ran * o_mem);
    IF old_host IS NOT DISTINCT FROM NEW.host_id THEN
        PERFORM host_move(NEW.host_id, NEW.on_host::integer - lay,
            NEW.on_host::integer * NEW.cpu_count - lay * o_cpu,
            NEW.on_host::integer * NEW.memory_mb - lay * o_mem);
    ELSE
        PERFORM host_move(old_host, -lay, -lay * o_cpu, -lay * o_mem);
        PERFORM host_move(NEW.host_id, NEW.on_host::integer, NEW.on_host::integer * NEW.cpu_count,
            NEW.on_host::integer * NEW.memory_mb);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER sandboxes_account AFTER INSERT OR UPDATE OF state, host_id, on_host, cpu_count, memory_mb ON sandboxes
    FOR EACH ROW EXECUTE FUNCTION sandboxes_account();

-- Rows are never deleted: ended ones are history.
CREATE FUNCTION sandboxes_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'sandboxes are never deleted' USING ERRCODE = 'BV004';
END $$;
CREATE TRIGGER sandboxes_keep BEFORE DELETE ON sandboxes FOR EACH STATEMENT EXECUTE FUNCTION sandboxes_keep();
