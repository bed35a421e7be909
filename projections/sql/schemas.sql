-- Where views are built anew, beside the ledger's schema: only the owner makes tables there, only the
-- projector fills them. Run by the login that installs.
DO $$
DECLARE
    building text := 'liveops_rebuild_' || current_schema();
BEGIN
    IF to_regnamespace(quote_ident(building)) IS NULL THEN
        EXECUTE format('CREATE SCHEMA %I AUTHORIZATION liveops_owner', building);
        SET LOCAL ROLE liveops_owner;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO liveops_projector', building);
        RESET ROLE;
    END IF;
END
$$;
