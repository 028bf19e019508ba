-- SPDX-License-Identifier: Apache-2.0
-- Events, idempotency keys, jobs.

-- One row for each change of a sandbox's life, written by the transaction that makes the change. The transaction says who it is in
-- bivouac.actor ("key:<id>", "host:<name>", "job:<kind>", "admin") and bivouac.request.
CREATE TABLE events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    team_id    bigint NOT NULL REFERENCES teams (id),
    sandbox_id bigint NOT NULL REFERENCES sandboxes (id),
    kind       text NOT NULL,
    actor      text NOT NULL,
    request_id text,
    data       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_team ON events (team_id, id);
CREATE INDEX events_sandbox ON events (sandbox_id, id);

CREATE FUNCTION sandboxes_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD.state;
        IF before = NEW.state THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO events (team_id, sandbox_id, kind, actor, request_id, data)
    VALUES (NEW.team_id, NEW.id, 'sandbox.' || NEW.state,
        coalesce(nullif(current_setting('bivouac.actor', true), ''), 'system'),
        nullif(current_setting('bivouac.request', true), ''),
        jsonb_strip_nulls(jsonb_build_object('from', before, 'generation', NEW.generation, 'host', NEW.host_id,
            'reason', CASE WHEN NEW.ended_at IS NOT NULL THEN NEW.end_reason END)));
    RETURN NULL;
END $$;
CREATE TRIGGER sandboxes_events AFTER INSERT OR UPDATE OF state ON sandboxes
    FOR EACH ROW EXECUTE FUNCTION sandboxes_events();

-- Unique (team, key). Without an answer the work is still running; the answer is sealed because it may hold a session token.
CREATE TABLE idempotency_keys (
    team_id      bigint NOT NULL REFERENCES teams (id),
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    sandbox_id   bigint REFERENCES sandboxes (id),
    status       integer,
    answer_box   bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (team_id, key),
    CHECK ((status IS NULL) = (answer_box IS NULL))
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
CREATE INDEX idempotency_keys_sandbox ON idempotency_keys (sandbox_id) WHERE answer_box IS NULL;

-- Work that must be done once, whichever replica does it. Claimed with FOR UPDATE SKIP LOCKED; a lost worker's lease runs out.
CREATE TABLE jobs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    subject     text NOT NULL DEFAULT '',
    every_ms    bigint CHECK (every_ms > 0), -- NULL: once
    payload     jsonb NOT NULL DEFAULT '{}',
    run_at      timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    claim       bigint NOT NULL DEFAULT 0,  -- grows with every claim: a late worker's end is not taken for the present one's
    failures    integer NOT NULL DEFAULT 0, -- in a row
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, subject)
);
CREATE INDEX jobs_due ON jobs (run_at);
