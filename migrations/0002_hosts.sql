-- SPDX-License-Identifier: Apache-2.0
-- Hosts register themselves by their first heartbeat, with a token that an operator made for their name.

CREATE TABLE host_tokens (
    id           text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    secret_hash  bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    host_name    text NOT NULL CHECK (host_name ~ '^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$'),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX host_tokens_host ON host_tokens (host_name);

CREATE TABLE hosts (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL UNIQUE,
    api_url            text NOT NULL,
    gateway_url        text,
    version            text,
    accelerator        text,
    draining           boolean NOT NULL DEFAULT false,
    -- as the host reports
    capacity_vcpus     bigint NOT NULL DEFAULT 0,
    capacity_memory_mb bigint NOT NULL DEFAULT 0,
    capacity_vms       bigint NOT NULL DEFAULT 0,
    used_vcpus         bigint NOT NULL DEFAULT 0,
    used_memory_mb     bigint NOT NULL DEFAULT 0,
    used_vms           bigint NOT NULL DEFAULT 0,
    disk_bytes_total   bigint NOT NULL DEFAULT 0,
    disk_bytes_free    bigint NOT NULL DEFAULT 0,
    templates          jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(templates) = 'array'),
    -- what is placed there; kept by a trigger on sandboxes
    reserved_vcpus     bigint NOT NULL DEFAULT 0 CHECK (reserved_vcpus >= 0),
    reserved_memory_mb bigint NOT NULL DEFAULT 0 CHECK (reserved_memory_mb >= 0),
    reserved_vms       bigint NOT NULL DEFAULT 0 CHECK (reserved_vms >= 0),
    heartbeat_at       timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
