-- One row per config: its newest revision, and beside it the activation and the shadow that no event
-- has ended.
CREATE TABLE liveops_configs (
    config_id uuid PRIMARY KEY,
    name text NOT NULL,
    scope liveops_config_scope NOT NULL,
    scope_ref text NOT NULL,
    status liveops_config_status NOT NULL,
    payload jsonb NOT NULL,
    valid_from timestamptz,
    valid_to timestamptz,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    revision integer NOT NULL,
    targeting jsonb,
    rollout jsonb,
    priority integer NOT NULL,
    labels jsonb NOT NULL,
    active_revision integer,
    active_from timestamptz,
    active_to timestamptz,
    activated_at timestamptz,
    activated_position bigint,
    activation jsonb,
    shadow_revision integer,
    shadowed_at timestamptz,
    shadowed_position bigint,
    shadow jsonb,
    levers text[] NOT NULL,
    created_position bigint NOT NULL UNIQUE,
    position bigint NOT NULL
);

-- Pages go by created_position, which never changes: a config that is edited stays on its page.
CREATE INDEX liveops_configs_status ON liveops_configs (status, created_position);
CREATE INDEX liveops_configs_place ON liveops_configs (scope, scope_ref, created_position);
CREATE INDEX liveops_configs_levers ON liveops_configs USING gin (levers);

-- The freezes that can still stop a window clock: those in force, and ended ones that they began in.
CREATE TABLE liveops_freezes (
    position bigint PRIMARY KEY,
    scope liveops_config_scope NOT NULL,
    scope_ref text NOT NULL,
    begun_at timestamptz NOT NULL,
    ended_at timestamptz,
    actor uuid NOT NULL,
    reason text NOT NULL
);

SELECT liveops_protect('liveops_configs'), liveops_protect('liveops_freezes');
