-- The event log: two tables, the one way in, and the guards that keep it append-only.
-- migrate() runs this as liveops_owner with search_path = <the ledger's schema>, pg_temp;
-- SET search_path FROM CURRENT pins exactly that to the functions.

CREATE TABLE liveops_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE liveops_events (
    position bigint PRIMARY KEY CHECK (position > 0),
    recorded_at timestamptz NOT NULL UNIQUE,
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL CHECK (originator_version >= 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    actor uuid,
    idempotency_key text,
    request_digest bytea,
    UNIQUE (originator_id, originator_version),
    CHECK (num_nulls(actor, idempotency_key, request_digest) IN (0, 3))
);

CREATE INDEX liveops_events_request ON liveops_events (actor, idempotency_key, position)
    WHERE idempotency_key IS NOT NULL;

-- One row: the past is closed up to here, wherever that is beyond the last event.
-- The last position and stamp are read off the log itself. A row updated by every append would say
-- the same, and leave a dead version per append for as long as any snapshot (a backup) is open.
CREATE TABLE liveops_closed (
    instant timestamptz NOT NULL
) WITH (fillfactor = 10);

CREATE UNIQUE INDEX liveops_closed_single ON liveops_closed ((true));

INSERT INTO liveops_closed VALUES ('epoch');

-- A function of its own so that a test can make time step back.
CREATE FUNCTION ledger_clock() RETURNS timestamptz
    LANGUAGE sql VOLATILE
    RETURN clock_timestamp();

-- Wait for the ledger's turn: first come, first served, until the transaction ends.
-- 1279607879 is "LEDG" in ASCII; the table's oid keeps two ledgers of one database apart.
--
-- SQLSTATE 25L01 the transaction reads from one snapshot, so it would not see what it waited for
CREATE FUNCTION ledger_lock() RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the ledger is written in READ COMMITTED only' USING ERRCODE = '25L01';
    END IF;
    PERFORM pg_advisory_xact_lock(1279607879, 'liveops_events'::regclass::oid::integer);
END
$$;

-- Append events to their streams, all of them or none.
--
-- The streams named in expected_streams must be at the versions beside them (0: no event yet), and
-- the last event at expected_position if that is given. A request that was appended before, by
-- the same actor under the same key, answers with its first outcome and appends nothing.
-- Everything that is checked is checked under the lock, so it still holds when the events are in.
--
-- SQLSTATE 23L01 an expectation does not hold; DETAIL lists the streams that moved
--          23L02 the key belongs to another request
--          55L01 the clock is minutes behind the ledger
CREATE FUNCTION ledger_append(
    streams uuid[],
    versions bigint[],
    topics text[],
    states bytea[],
    expected_streams uuid[] DEFAULT '{}',
    expected_versions bigint[] DEFAULT '{}',
    expected_position bigint DEFAULT NULL,
    request_actor uuid DEFAULT NULL,
    request_key text DEFAULT NULL,
    request_digest bytea DEFAULT NULL,
    OUT first_position bigint,
    OUT first_recorded_at timestamptz,
    OUT repeated boolean
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    added constant integer := cardinality(streams);
    tick constant interval := interval '1 microsecond';
    same_request boolean;
    moved text;
    last_position bigint;
    last_instant timestamptz;
    clock timestamptz;
BEGIN
    -- Commit order, position order and stamp order are one order because of this line. It comes
    -- before anything is read: what is read below cannot change until this transaction ends.
    PERFORM ledger_lock();

    repeated := false;
    IF request_key IS NOT NULL THEN
        SELECT e.position, e.recorded_at, e.request_digest = ledger_append.request_digest
          INTO first_position, first_recorded_at, same_request
          FROM liveops_events e
         WHERE e.actor = request_actor AND e.idempotency_key = request_key
         ORDER BY e.position
         LIMIT 1;
        IF FOUND AND NOT same_request THEN
            RAISE EXCEPTION 'idempotency key % belongs to another request', request_key
                USING ERRCODE = '23L02';
        END IF;
        IF FOUND THEN
            repeated := true;
            RETURN;
        END IF;
    END IF;

    SELECT string_agg(x.stream::text, ',')
      INTO moved
      FROM unnest(expected_streams, expected_versions) AS x (stream, version)
     WHERE x.version IS DISTINCT FROM coalesce(
               (SELECT max(e.originator_version) FROM liveops_events e
                 WHERE e.originator_id = x.stream),
               0);
    IF moved IS NOT NULL THEN
        RAISE EXCEPTION 'streams have moved' USING ERRCODE = '23L01', DETAIL = moved;
    END IF;

    SELECT coalesce(max(e.position), 0) INTO last_position FROM liveops_events e;
    IF expected_position <> last_position THEN
        RAISE EXCEPTION 'the ledger has moved from position % to %', expected_position, last_position
            USING ERRCODE = '23L01', DETAIL = '';
    END IF;
    IF added = 0 THEN
        RETURN;
    END IF;

    SELECT greatest(c.instant, (SELECT max(e.recorded_at) FROM liveops_events e))
      INTO last_instant
      FROM liveops_closed c;
    clock := ledger_clock();
    -- A clock that once ran ahead has left stamps in the future. Minutes of made-up time would
    -- be worse than no writes: people would look for what happened at the wrong instants.
    IF last_instant > clock + interval '5 minutes' THEN
        RAISE EXCEPTION 'the clock says %, but the ledger is closed up to %', clock, last_instant
            USING ERRCODE = '55L01';
    END IF;
    first_position := last_position + 1;
    first_recorded_at := greatest(clock, last_instant + tick);

    INSERT INTO liveops_events
    SELECT last_position + x.n, first_recorded_at + (x.n - 1) * tick,
           x.stream, x.version, x.topic, x.state,
           request_actor, request_key, ledger_append.request_digest
      FROM unnest(streams, versions, topics, states)
           WITH ORDINALITY AS x (stream, version, topic, state, n);

    PERFORM pg_notify('liveops_events', (last_position + added)::text);
END
$$;

-- Close the past up to an instant: from now on no event gets a recorded_at at or before it.
-- Answers with the last event at or before it (no row: there is none).
--
-- Stamps that only grow are not enough: a writer may already hold an earlier stamp and commit
-- after the answer. So an instant beyond the last event waits its turn behind the writers.
--
-- SQLSTATE 22L01 the instant has not happened yet
CREATE FUNCTION ledger_close(instant timestamptz)
    RETURNS TABLE (closed_position bigint, closed_recorded_at timestamptz)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF instant > (SELECT greatest(c.instant, (SELECT max(e.recorded_at) FROM liveops_events e))
                    FROM liveops_closed c)
    THEN
        IF instant > ledger_clock() THEN
            RAISE EXCEPTION '% has not happened yet', instant USING ERRCODE = '22L01';
        END IF;
        PERFORM ledger_lock();
        UPDATE liveops_closed c SET instant = ledger_close.instant
         WHERE c.instant < ledger_close.instant;
    END IF;
    RETURN QUERY
    SELECT e.position, e.recorded_at
      FROM liveops_events e
     WHERE e.recorded_at <= ledger_close.instant
     ORDER BY e.recorded_at DESC
     LIMIT 1;
END
$$;

-- Nobody changes or removes what is recorded: not the owner, not a superuser.
CREATE FUNCTION liveops_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION '% on %: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = '42L01';
END
$$;

-- Owner and superuser have every privilege, so a slip of theirs at a prompt is caught by looking
-- at who calls: events come in, and instants are closed, only from within the two functions above.
CREATE FUNCTION liveops_refuse_direct() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
DECLARE
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF stack !~ '\mledger_(append|close)\(' THEN
        RAISE EXCEPTION '% on %: only ledger_append() writes here', TG_OP, TG_TABLE_NAME
            USING ERRCODE = '42L01';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON liveops_events
    FOR EACH STATEMENT EXECUTE FUNCTION liveops_refuse_change();
CREATE TRIGGER one_door BEFORE INSERT ON liveops_events
    FOR EACH STATEMENT EXECUTE FUNCTION liveops_refuse_direct();
CREATE TRIGGER append_only BEFORE INSERT OR DELETE OR TRUNCATE ON liveops_closed
    FOR EACH STATEMENT EXECUTE FUNCTION liveops_refuse_change();
CREATE TRIGGER one_door BEFORE UPDATE ON liveops_closed
    FOR EACH STATEMENT EXECUTE FUNCTION liveops_refuse_direct();

-- ALWAYS: session_replication_role = replica does not switch them off.
ALTER TABLE liveops_events ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE liveops_events ENABLE ALWAYS TRIGGER one_door;
ALTER TABLE liveops_closed ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE liveops_closed ENABLE ALWAYS TRIGGER one_door;

GRANT SELECT ON liveops_events, liveops_closed, liveops_migrations
    TO liveops_writer, liveops_projector, liveops_reader;

REVOKE ALL ON FUNCTION ledger_append, ledger_close, ledger_lock, ledger_clock FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_append TO liveops_writer;
-- An as-of answer closes its instant, so whoever may ask may close.
GRANT EXECUTE ON FUNCTION ledger_close, ledger_clock
    TO liveops_writer, liveops_projector, liveops_reader;
