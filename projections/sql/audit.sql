-- One row per event. config_id is empty for freezes, kills and catalogs, which concern no config.
CREATE TABLE liveops_audit (
    id uuid PRIMARY KEY,
    config_id uuid,
    action liveops_audit_action NOT NULL,
    actor uuid NOT NULL,
    diff jsonb,
    ts timestamptz NOT NULL UNIQUE,
    position bigint NOT NULL UNIQUE,
    reason text NOT NULL,
    correlation_id uuid NOT NULL,
    causation_id uuid NOT NULL,
    scope liveops_config_scope,
    scope_ref text,
    revision integer,
    levers text[] NOT NULL,
    break_glass boolean NOT NULL,
    violations jsonb NOT NULL
);

-- Pages go by position, so every filter has it as its last column.
CREATE INDEX liveops_audit_actor ON liveops_audit (actor, position);
CREATE INDEX liveops_audit_action ON liveops_audit (action, position);
CREATE INDEX liveops_audit_scope ON liveops_audit (scope, position);
CREATE INDEX liveops_audit_ref ON liveops_audit (scope_ref, position);
CREATE INDEX liveops_audit_config ON liveops_audit (config_id, position);

-- The levers of each entry once more: an array's index has no order, so that a page of a lever's
-- entries would cost as much as all of them.
CREATE TABLE liveops_audit_levers (
    lever text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (lever, position)
);

SELECT liveops_protect('liveops_audit'), liveops_protect('liveops_audit_levers');
