-- Roles belong to the whole server, not to one database: migrate() makes those that are missing,
-- before the migrations, and gives them to the login that migrates. None of them can log in.
--
--   liveops_owner      owns the objects of the ledger; nobody works as it
--   liveops_writer     reads the log and may call ledger_append: the application
--   liveops_projector  reads the log; writes only what is derived from it
--   liveops_reader     reads the log: auditors, replays
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY
        ARRAY['liveops_owner', 'liveops_writer', 'liveops_projector', 'liveops_reader']
    LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
    -- Without CREATE the owner cannot own a table here. It is the only role of ours that has it:
    -- whoever can create in this schema can plant functions where the owner's own will look.
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO liveops_owner', current_schema());
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %I TO liveops_writer, liveops_projector, liveops_reader',
        current_schema()
    );
END
$$;
