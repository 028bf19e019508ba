-- SPDX-License-Identifier: Apache-2.0
-- Users, teams, members and API keys. Every user has a personal team; every team has a row of quotas (0004).

-- Times travel as microseconds since 1970.
CREATE FUNCTION to_us(t timestamptz) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (extract(epoch FROM t) * 1000000)::bigint;

CREATE FUNCTION from_us(us bigint) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_timestamp(us / 1000000) + (us % 1000000) * interval '1 microsecond';

CREATE TABLE users (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email       text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    disabled_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE teams (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug             text NOT NULL UNIQUE CHECK (slug ~ '^[A-Za-z][A-Za-z0-9._-]{0,62}$'),
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    personal_user_id bigint UNIQUE REFERENCES users (id), -- NULL: a shared team
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE team_members (
    team_id    bigint NOT NULL REFERENCES teams (id),
    user_id    bigint NOT NULL REFERENCES users (id),
    role       text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_user ON team_members (user_id);

-- bvk_<id>_<secret>: the id is public, the secret is kept as its SHA-256 only.
CREATE TABLE api_keys (
    id           text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    secret_hash  bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    user_id      bigint NOT NULL REFERENCES users (id),
    team_id      bigint REFERENCES teams (id), -- NULL: every team of the user
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    scopes       text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write'] AND cardinality(scopes) > 0),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_user ON api_keys (user_id);
