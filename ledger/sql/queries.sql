-- What the store asks of the ledger. `%(name)s` are parameters; a statement ends where the next begins.

-- name: session
-- Settings of the server or the login must not weaken what ledger_append relies on, and a stuck
-- writer must not let all others queue up behind it for ever.
SELECT set_config('role', coalesce(%(role)s, current_setting('role')), false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('default_transaction_read_only', 'off', false),
       set_config('lock_timeout', '10s', false);

-- name: append
SELECT first_position, first_recorded_at, repeated
  FROM ledger_append(
           %(streams)s::uuid[], %(versions)s::bigint[], %(topics)s::text[], %(states)s::bytea[],
           %(expected_streams)s::uuid[], %(expected_versions)s::bigint[],
           %(position)s::bigint, %(actor)s::uuid, %(key)s::text, %(digest)s::bytea);

-- name: close
SELECT closed_position, closed_recorded_at FROM ledger_close(%(at)s);

-- name: head
SELECT position, recorded_at FROM liveops_events ORDER BY position DESC LIMIT 1;

-- name: head_at
SELECT position, recorded_at
  FROM liveops_events
 WHERE recorded_at <= %(at)s
 ORDER BY recorded_at DESC
 LIMIT 1;

-- name: events_after
SELECT position, recorded_at, originator_id, originator_version, topic, state
  FROM liveops_events
 WHERE position > %(after)s AND position <= coalesce(%(upto)s::bigint, 9223372036854775807)
 ORDER BY position
 LIMIT %(limit)s;

-- name: states_after
-- The same events, no more of each than folding takes.
SELECT position, recorded_at, state
  FROM liveops_events
 WHERE position > %(after)s AND position <= coalesce(%(upto)s::bigint, 9223372036854775807)
 ORDER BY position
 LIMIT %(limit)s;

-- name: events_of_request
SELECT position, recorded_at, originator_id, originator_version, topic, state
  FROM liveops_events
 WHERE actor = %(actor)s AND idempotency_key = %(key)s
 ORDER BY position;

-- name: digest_of_request
SELECT request_digest
  FROM liveops_events
 WHERE actor = %(actor)s AND idempotency_key = %(key)s
 ORDER BY position
 LIMIT 1;

-- name: events_of_stream
SELECT position, recorded_at, originator_id, originator_version, topic, state
  FROM liveops_events
 WHERE originator_id = %(stream)s AND originator_version <= %(upto)s
 ORDER BY originator_version;

-- name: listen
LISTEN liveops_events;

-- name: unlisten
UNLISTEN liveops_events;

-- name: stream_ascending
SELECT originator_id, originator_version, topic, state
  FROM liveops_events
 WHERE originator_id = %(stream)s
   AND originator_version > coalesce(%(gt)s::bigint, -1)
   AND originator_version <= coalesce(%(lte)s::bigint, 9223372036854775807)
 ORDER BY originator_version ASC
 LIMIT %(limit)s;

-- name: stream_descending
SELECT originator_id, originator_version, topic, state
  FROM liveops_events
 WHERE originator_id = %(stream)s
   AND originator_version > coalesce(%(gt)s::bigint, -1)
   AND originator_version <= coalesce(%(lte)s::bigint, 9223372036854775807)
 ORDER BY originator_version DESC
 LIMIT %(limit)s;

-- name: notifications
SELECT position AS id, originator_id, originator_version, topic, state
  FROM liveops_events
 WHERE position >= %(start)s
   AND position <= coalesce(%(stop)s::bigint, 9223372036854775807)
   AND (%(topics)s::text[] IS NULL OR topic = ANY (%(topics)s))
 ORDER BY position
 LIMIT %(limit)s;

-- name: migrations_exist
SELECT to_regclass('liveops_migrations') IS NOT NULL;

-- name: migrations_applied
SELECT version FROM liveops_migrations;

-- name: migration_applied
INSERT INTO liveops_migrations (version, name) VALUES (%s, %s);

-- name: migration_lock
-- 1280133447 is "LMIG" in ASCII.
SELECT pg_advisory_lock(1280133447, hashtext(current_schema()));

-- name: migration_context
-- Everything is made by its owner; what is pinned by SET search_path FROM CURRENT is this path.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true),
       set_config('role', 'liveops_owner', true);

-- name: roles_exist
SELECT bool_and(to_regrole(name) IS NOT NULL AND pg_has_role(current_user, to_regrole(name), 'SET'))
  FROM unnest(ARRAY['liveops_owner', 'liveops_writer', 'liveops_projector', 'liveops_reader']) AS name;
