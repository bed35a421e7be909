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
CREATE INDEX liveops_audit_correlation ON liveops_audit (correlation_id, position);
-- What an experiment went through, without the entries of the configs that are set in it.
CREATE INDEX liveops_audit_of_none ON liveops_audit (scope_ref, position) WHERE config_id IS NULL;

-- The levers of each entry once more: an array's index has no order, so that a page of a lever's
-- entries would cost as much as all of them. An experiment's entries are here under the levers too
-- that a config came to set in it later in the same run.
CREATE TABLE liveops_audit_levers (
    lever text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (lever, position)
);

-- Which configs have set a lever in an experiment or a variation of it, and by which event first.
CREATE TABLE liveops_audit_experiments (
    experiment text NOT NULL,
    lever text NOT NULL,
    config_id uuid NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (experiment, lever, config_id)
);

SELECT liveops_protect('liveops_audit'), liveops_protect('liveops_audit_levers'),
       liveops_protect('liveops_audit_experiments');
