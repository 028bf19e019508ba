-- SPDX-License-Identifier: Apache-2.0
-- Templates and their immutable versions. Templates, versions and checkpoints draw from one sequence: one number means one thing.

CREATE SEQUENCE artifact_ids AS bigint;

CREATE TABLE templates (
    id          bigint PRIMARY KEY DEFAULT nextval('artifact_ids'),
    team_id     bigint REFERENCES teams (id), -- NULL: the provider's, for every team
    slug        text NOT NULL CHECK (slug ~ '^[A-Za-z][A-Za-z0-9._-]{0,62}$'),
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    metadata    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    deleted_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX templates_slug ON templates (coalesce(team_id, 0), slug) WHERE deleted_at IS NULL;

CREATE TABLE template_versions (
    id            bigint PRIMARY KEY DEFAULT nextval('artifact_ids'),
    template_id   bigint NOT NULL REFERENCES templates (id),
    version       text NOT NULL CHECK (version ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    status        text NOT NULL CHECK (status IN ('draft', 'queued', 'building', 'ready', 'failed')),
    source_kind   text NOT NULL,
    architecture  text NOT NULL DEFAULT 'x86_64',
    default_user  text NOT NULL DEFAULT 'user',
    workdir       text NOT NULL DEFAULT '/workspace',
    cpu_count     integer NOT NULL CHECK (cpu_count > 0),
    memory_mb     integer NOT NULL CHECK (memory_mb > 0),
    manifest      jsonb NOT NULL DEFAULT '{}',
    error_message text,
    built_at      timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (template_id, version)
);

CREATE TABLE template_tags (
    template_id bigint NOT NULL REFERENCES templates (id),
    tag         text NOT NULL CHECK (tag ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    version_id  bigint NOT NULL REFERENCES template_versions (id),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (template_id, tag)
);

-- Versions are immutable but for the course of their build.
CREATE FUNCTION template_versions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'ready' AND ROW (NEW.template_id, NEW.version, NEW.status, NEW.cpu_count, NEW.memory_mb, NEW.manifest)
        IS DISTINCT FROM ROW (OLD.template_id, OLD.version, OLD.status, OLD.cpu_count, OLD.memory_mb, OLD.manifest) THEN
        RAISE EXCEPTION 'template version % is ready and cannot change', OLD.id USING ERRCODE = 'BV004';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER template_versions_guard BEFORE UPDATE ON template_versions
    FOR EACH ROW EXECUTE FUNCTION template_versions_guard();
