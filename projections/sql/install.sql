-- What all views share, and the one table that is no view. install() runs this as liveops_owner
-- with search_path = <the ledger's schema>, pg_temp; running it again changes nothing.

DO $$
BEGIN
    IF to_regtype('liveops_config_scope') IS NULL THEN
        -- In order of precedence, lowest first: ORDER BY scope sorts so.
        CREATE TYPE liveops_config_scope AS ENUM
            ('global', 'world', 'adventure', 'experiment', 'session');
    END IF;
    IF to_regtype('liveops_config_status') IS NULL THEN
        CREATE TYPE liveops_config_status AS ENUM
            ('draft', 'scheduled', 'active', 'expired', 'inactive', 'archived');
    END IF;
    IF to_regtype('liveops_audit_action') IS NULL THEN
        CREATE TYPE liveops_audit_action AS ENUM ();
    END IF;
END
$$;

-- One by one, so that a database of an earlier version gets what is new.
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'create';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'revise';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'activate';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'deactivate';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'archive';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'rollback';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'rollout';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'shadow';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'unshadow';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'freeze';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'unfreeze';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'kill';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'restore';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'start_experiment';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'change_experiment';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'stop_experiment';
ALTER TYPE liveops_audit_action ADD VALUE IF NOT EXISTS 'adopt_catalog';

-- Who may do what with a derived table: readers read, the projector writes, nobody else does
-- anything. FORCE makes that hold for the owner too. A superuser is beyond all policies.
CREATE OR REPLACE FUNCTION liveops_protect(protected regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    -- Looked at first, because each of these locks out readers for a moment.
    IF (SELECT c.relforcerowsecurity FROM pg_class c WHERE c.oid = protected) THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', protected);
    EXECUTE format(
        'CREATE POLICY liveops_read ON %s FOR SELECT'
        ' TO liveops_reader, liveops_writer, liveops_projector USING (true)', protected);
    EXECUTE format(
        'CREATE POLICY liveops_project ON %s FOR ALL'
        ' TO liveops_projector USING (true) WITH CHECK (true)', protected);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', protected);
    EXECUTE format('GRANT SELECT ON %s TO liveops_reader, liveops_writer', protected);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO liveops_projector', protected);
END
$$;

REVOKE ALL ON FUNCTION liveops_protect FROM PUBLIC;

-- How far each view has come. A view's rows and its position change in one transaction.
CREATE TABLE IF NOT EXISTS liveops_projections (
    name text PRIMARY KEY,
    version integer NOT NULL,
    position bigint NOT NULL,
    recorded_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

SELECT liveops_protect('liveops_projections');

-- Samples of what games were given: reported by them, so the ledger alone cannot bring them back.
CREATE TABLE IF NOT EXISTS liveops_snapshots (
    id uuid PRIMARY KEY,
    session_id text NOT NULL,
    turn_id integer NOT NULL,
    resolved jsonb NOT NULL,
    ts timestamptz NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    reason text NOT NULL,
    -- json keeps the text: jsonb would make 1e16 an integer, which a targeting rule can tell apart.
    context json NOT NULL,
    mixed json NOT NULL DEFAULT '[]'
);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute
                    WHERE attrelid = 'liveops_snapshots'::regclass AND attname = 'mixed') THEN
        ALTER TABLE liveops_snapshots ADD COLUMN mixed json NOT NULL DEFAULT '[]';
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS liveops_snapshots_turn ON liveops_snapshots (session_id, turn_id);
CREATE INDEX IF NOT EXISTS liveops_snapshots_position ON liveops_snapshots (position, id);

SELECT liveops_protect('liveops_snapshots');

-- Whose samples were deleted on demand: those that are still on Kafka are not to come back. A hash
-- of the session, for the name is what had to go.
CREATE TABLE IF NOT EXISTS liveops_forgotten (
    session bytea PRIMARY KEY,
    forgotten_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

SELECT liveops_protect('liveops_forgotten');

-- How far the topic of telemetry has been read. It moves with the samples, in one transaction.
CREATE TABLE IF NOT EXISTS liveops_telemetry (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

SELECT liveops_protect('liveops_telemetry');

-- Signed tree heads: what the log's keys have vouched for, so nothing that events could bring back.
CREATE TABLE IF NOT EXISTS liveops_checkpoints (
    size bigint PRIMARY KEY CHECK (size > 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

SELECT liveops_protect('liveops_checkpoints');

-- The public keys of whoever has signed, each with the first checkpoint that it signed.
CREATE TABLE IF NOT EXISTS liveops_log_keys (
    vkey text PRIMARY KEY,
    since bigint NOT NULL CHECK (since > 0),
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

SELECT liveops_protect('liveops_log_keys');

-- What was found whenever the ledger was folded from its first event and compared with the views and
-- the signed heads: a log of its own, which no event could bring back.
CREATE TABLE IF NOT EXISTS liveops_verifications (
    checked_at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    position bigint NOT NULL,
    events bigint NOT NULL,
    checkpoints bigint NOT NULL,
    seconds double precision NOT NULL,
    sound boolean NOT NULL,
    views json NOT NULL,
    faults json NOT NULL
);

SELECT liveops_protect('liveops_verifications');
