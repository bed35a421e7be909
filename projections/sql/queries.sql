-- What runner, rebuild and views ask. `%(name)s` are parameters, `{name}` a composed part of the statement.

-- name: session
-- Lost work is done again from the ledger, so nothing waits for the disk. Who has vanished must not
-- keep the lead until TCP gives up, hours later, nor who is frozen: a leader at work, and one that
-- waits, is heard from at least every second.
SELECT set_config('role', 'liveops_projector', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('default_transaction_read_only', 'off', false),
       set_config('synchronous_commit', 'off', false),
       set_config('lock_timeout', '10s', false),
       set_config('idle_session_timeout', '60s', false),
       set_config('idle_in_transaction_session_timeout', '60s', false),
       set_config('tcp_keepalives_idle', '5', false),
       set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false);

-- name: listen
LISTEN liveops_events;

-- name: lead
-- 1280332362 is "LPRJ" in ASCII; the oid keeps two ledgers of one database apart.
SELECT pg_try_advisory_lock(1280332362, 'liveops_projections'::regclass::oid::integer);

-- name: head
SELECT coalesce(max(position), 0) FROM liveops_events;

-- name: standings
SELECT name, version, position, liveops_instant(recorded_at) FROM liveops_projections;

-- name: hold_standing
SELECT version, position FROM liveops_projections WHERE name = %(name)s FOR UPDATE;

-- name: stand
INSERT INTO liveops_projections (name, version, position, recorded_at)
VALUES (%(name)s, %(version)s, %(position)s, %(recorded_at)s::timestamptz)
    ON CONFLICT (name) DO UPDATE
   SET version = excluded.version,
       position = excluded.position,
       recorded_at = excluded.recorded_at,
       updated_at = clock_timestamp();

-- name: events_after
SELECT position, liveops_instant(recorded_at), state
  FROM liveops_events
 WHERE position > %(after)s
 ORDER BY position
 LIMIT %(limit)s;

-- name: install_lock
-- 1280333382 is "LPVF" in ASCII.
SELECT pg_advisory_xact_lock(1280333382, hashtext(current_schema()));

-- name: schemas
-- The ledger's schema, and the one beside it where a view is built anew; each with its search path.
WITH named AS (SELECT current_schema() AS ledger, 'liveops_rebuild_' || current_schema() AS building)
SELECT ledger, building, format('%%I, pg_temp', ledger), format('%%I, %%I, pg_temp', building, ledger)
  FROM named;

-- name: work_as
-- Until the transaction ends. Bodies of functions are checked when they are called: the tables of
-- a view may still be of the version before.
SELECT set_config('role', %(role)s, true),
       set_config('search_path', %(path)s, true),
       set_config('check_function_bodies', 'off', true);

-- name: tables_exist
SELECT coalesce(bool_and(to_regclass(format('%%I', name)) IS NOT NULL), true)
  FROM unnest(%(tables)s::text[]) AS name;

-- name: rebuild_lock
-- 1280333378 is "LPVB" in ASCII.
SELECT pg_try_advisory_lock(1280333378, hashtext(current_schema() || '.' || %(name)s));

-- name: rebuild_unlock
SELECT pg_advisory_unlock(1280333378, hashtext(current_schema() || '.' || %(name)s));

-- name: impatient
-- Who waits for an exclusive lock makes all later readers wait behind it: give up soon, and before
-- the deadlock detector (1 s) would choose one of them as its victim.
SELECT set_config('lock_timeout', '500ms', true);

-- name: add_rows
-- COPY does not work under row-level security, and one document costs less than many parameters.
INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %(rows)s);

-- name: configs_load
SELECT config_id, name, scope::text, scope_ref, status::text, payload::text,
       liveops_instant(valid_from) AS valid_from, liveops_instant(valid_to) AS valid_to,
       created_by, liveops_instant(created_at) AS created_at,
       liveops_instant(updated_at) AS updated_at,
       revision, targeting::text, rollout::text, priority, labels::text,
       active_revision, liveops_instant(active_from) AS active_from,
       liveops_instant(active_to) AS active_to, liveops_instant(activated_at) AS activated_at,
       activated_position, activation::text,
       shadow_revision, liveops_instant(shadowed_at) AS shadowed_at, shadowed_position,
       shadow::text, created_position, position
  FROM liveops_configs
 WHERE config_id = ANY (%(config_ids)s::uuid[]);

-- name: configs_remove
DELETE FROM liveops_configs WHERE config_id = ANY (%(config_ids)s::uuid[]);

-- name: freezes_load
SELECT scope::text, scope_ref, position, liveops_instant(begun_at), actor, reason,
       liveops_instant(ended_at)
  FROM liveops_freezes
 ORDER BY position;

-- name: freezes_remove
DELETE FROM liveops_freezes;

-- name: configs_page
-- `at` is never before the last event of the view, whatever the clock of the database does.
WITH asked AS MATERIALIZED (
    SELECT greatest(coalesce(%(at)s::timestamptz, ledger_clock()), p.recorded_at) AS at
      FROM liveops_projections p
     WHERE p.name = 'liveops_configs'
), clocks AS MATERIALIZED (
    SELECT k.* FROM asked, liveops_clocks(asked.at) k
), staged AS (
    SELECT c.*, liveops_stage(
               c.status, c.active_from, c.active_to,
               coalesce(
                   (SELECT k.clock FROM clocks k
                     WHERE k.scope = c.scope AND k.scope_ref = c.scope_ref),
                   (SELECT k.clock FROM clocks k WHERE k.scope = 'global')
               )
           ) AS stage
      FROM liveops_configs c
)
SELECT config_id, name, scope::text, scope_ref, stage::text AS status, payload,
       liveops_instant(valid_from) AS valid_from, liveops_instant(valid_to) AS valid_to,
       created_by, liveops_instant(created_at) AS created_at,
       liveops_instant(updated_at) AS updated_at,
       revision, targeting, rollout, priority, labels,
       active_revision, liveops_instant(active_from) AS active_from,
       liveops_instant(active_to) AS active_to, liveops_instant(activated_at) AS activated_at,
       activated_position,
       shadow_revision, liveops_instant(shadowed_at) AS shadowed_at, shadowed_position,
       levers, created_position, position
  FROM staged
 WHERE {conditions}
 ORDER BY {order}
 LIMIT %(limit)s;

-- name: audit_before
-- For the stream of each event: the last event of some types before that one.
SELECT earlier.position, liveops_instant(earlier.recorded_at), earlier.state
  FROM unnest(%(positions)s::bigint[]) AS first (position)
  JOIN liveops_events here ON here.position = first.position
 CROSS JOIN LATERAL (
           SELECT e.position, e.recorded_at, e.state
             FROM liveops_events e
            WHERE e.originator_id = here.originator_id
              AND e.originator_version < here.originator_version
              AND e.topic = ANY (%(topics)s)
            ORDER BY e.originator_version DESC
            LIMIT 1
       ) AS earlier;

-- name: audit_before_experiment
-- The last event before a position that names an experiment, as it stands in the stored bytes.
SELECT e.position, liveops_instant(e.recorded_at), e.state
  FROM liveops_events e
 WHERE e.originator_id = %(stream)s
   AND e.position < %(before)s
   AND position(%(named)s::bytea IN e.state) > 0
 ORDER BY e.originator_version DESC
 LIMIT 1;

-- name: audit_add_levers
INSERT INTO liveops_audit_levers (lever, position)
SELECT lever, a.position
  FROM liveops_audit a
 CROSS JOIN LATERAL unnest(a.levers) AS lever
 WHERE a.position BETWEEN %(first)s AND %(last)s
 ORDER BY lever, a.position;

-- name: audit_set_in
-- The levers that configs have set in some experiments.
SELECT experiment, lever
  FROM liveops_audit_experiments
 WHERE experiment = ANY (%(experiments)s::text[])
 GROUP BY experiment, lever;

-- name: audit_set_in_experiments
INSERT INTO liveops_audit_experiments
SELECT * FROM json_populate_recordset(NULL::liveops_audit_experiments, %(rows)s)
    ON CONFLICT DO NOTHING;

-- name: audit_touch_levers
-- An experiment whose configs set a lever concerns it, be they drafted before it starts or while it
-- runs; a run that was over by then it does not concern. New in a batch are its experiments' entries,
-- for all levers, and the levers that it brings to an experiment, for the entries before.
WITH set_in AS MATERIALIZED (
    SELECT experiment, lever, min(position) AS position
      FROM liveops_audit_experiments
     WHERE experiment = ANY (%(experiments)s::text[])
     GROUP BY experiment, lever
), touched AS (
    SELECT x.lever, a.position
      FROM set_in x
      JOIN liveops_audit a
        ON a.config_id IS NULL AND a.scope_ref = x.experiment
       AND a.position BETWEEN %(first)s AND %(last)s
       AND a.action = ANY (%(actions)s::liveops_audit_action[])
     WHERE x.position < a.position
     UNION ALL
    SELECT x.lever, a.position
      FROM set_in x
      JOIN liveops_audit a
        ON a.config_id IS NULL AND a.scope_ref = x.experiment AND a.position < x.position
       AND a.action = ANY (%(actions)s::liveops_audit_action[])
     WHERE x.position BETWEEN %(first)s AND %(last)s
       AND NOT EXISTS (
               SELECT FROM liveops_audit s
                WHERE s.config_id IS NULL AND s.scope_ref = x.experiment
                  AND s.action = 'stop_experiment'
                  AND s.position >= a.position AND s.position < x.position)
)
INSERT INTO liveops_audit_levers (lever, position)
SELECT lever, position FROM touched
    ON CONFLICT DO NOTHING;

-- name: audit_page
SELECT id, config_id, action::text, actor, diff, liveops_instant(ts) AS ts, position, reason,
       correlation_id, causation_id, scope::text, scope_ref, revision, levers, break_glass,
       violations, {through} AS through
  FROM {entries}
 WHERE {conditions}
 ORDER BY {order}
 LIMIT %(limit)s;

-- name: snapshot_record
INSERT INTO liveops_snapshots
       (id, session_id, turn_id, resolved, ts, position, at, reason, context, mixed)
SELECT %(id)s, %(session_id)s, %(turn_id)s, %(resolved)s, %(ts)s, %(position)s, %(at)s, %(reason)s,
       %(context)s, %(mixed)s
 WHERE NOT EXISTS (
           SELECT FROM liveops_forgotten f
            WHERE f.session = %(session)s AND f.forgotten_at >= %(ts)s::timestamptz)
    ON CONFLICT (id) DO NOTHING;

-- name: snapshots_page
SELECT id, session_id, turn_id, resolved, liveops_instant(ts) AS ts, position,
       liveops_instant(at) AS at, reason, context, mixed
  FROM liveops_snapshots
 WHERE (position, id) > (%(position)s, %(id)s::uuid) AND {condition}
 ORDER BY position, id
 LIMIT %(limit)s;

-- name: snapshots_count
SELECT count(*) FROM liveops_snapshots WHERE {condition};

-- name: snapshots_remember_forgotten
INSERT INTO liveops_forgotten (session) VALUES (%(session)s)
    ON CONFLICT (session) DO UPDATE SET forgotten_at = excluded.forgotten_at;

-- name: snapshots_forget
DELETE FROM liveops_snapshots WHERE session_id = %(session_id)s;

-- name: telemetry_lead
-- 1280332876 is "LPTL" in ASCII; the hash keeps two ledgers of one database apart, and two topics.
SELECT pg_try_advisory_lock(
           1280332876, hashtext('liveops_snapshots'::regclass::oid::text || ':' || %(topic)s));

-- name: telemetry_offsets
SELECT partition, next_offset FROM liveops_telemetry WHERE topic = %(topic)s;

-- name: telemetry_move
INSERT INTO liveops_telemetry (topic, partition, next_offset)
VALUES (%(topic)s, %(partition)s, %(next_offset)s)
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset;

-- name: timeline_open
SELECT thing, part, begins, ends, liveops_instant(begun_at) AS begun_at,
       liveops_instant(ended_at) AS ended_at, body
  FROM liveops_timeline
 WHERE ends IS NULL AND (thing = ANY (%(things)s::text[]) OR part = ANY (%(parts)s::text[]));

-- name: timeline_end
UPDATE liveops_timeline t
   SET ends = x.ends, ended_at = x.ended_at
  FROM unnest(%(things)s::text[], %(ends)s::bigint[], %(ended_at)s::timestamptz[])
       AS x (thing, ends, ended_at)
 WHERE t.thing = x.thing AND t.ends IS NULL;

-- name: timeline_prefix
-- What held right after an event, and how far the view has come, as one snapshot shows them. The
-- condition on the box is the one that the index answers; the others say the same exactly.
SELECT reached.position, liveops_instant(reached.recorded_at), t.thing, t.part, t.begins, t.ends,
       liveops_instant(t.begun_at), liveops_instant(t.ended_at), t.body
  FROM (SELECT least(p.position, %(position)s) AS position,
               (SELECT e.recorded_at FROM liveops_events e
                 WHERE e.position = least(p.position, %(position)s)) AS recorded_at
          FROM liveops_projections p
         WHERE p.name = 'liveops_timeline' AND p.version = %(version)s
        OFFSET 0  -- looked up once, not for each row
       ) AS reached
  LEFT JOIN LATERAL (
           SELECT held.*
             FROM unnest(%(parts)s::text[]) AS wanted (part)
            CROSS JOIN LATERAL (
                      SELECT *
                        FROM liveops_timeline l
                       WHERE box(point(hashtext(l.part), l.begins),
                                 point(hashtext(l.part), coalesce(l.ends, 9007199254740992) - 1))
                             && box(point(hashtext(wanted.part), reached.position),
                                    point(hashtext(wanted.part), reached.position))
                         AND l.part = wanted.part
                         AND l.begins <= reached.position
                         AND (l.ends IS NULL OR l.ends > reached.position)
                      -- Part by part. Postgres knows nothing of how boxes are spread, and would
                      -- rather read the whole table once, from a million rows on.
                      OFFSET 0
                  ) AS held
       ) AS t ON true;

-- name: timeline_prefix_whole
SELECT reached.position, liveops_instant(reached.recorded_at), t.thing, t.part, t.begins, t.ends,
       liveops_instant(t.begun_at), liveops_instant(t.ended_at), t.body
  FROM (SELECT least(p.position, %(position)s) AS position,
               (SELECT e.recorded_at FROM liveops_events e
                 WHERE e.position = least(p.position, %(position)s)) AS recorded_at
          FROM liveops_projections p
         WHERE p.name = 'liveops_timeline' AND p.version = %(version)s
        OFFSET 0  -- looked up once, not for each row
       ) AS reached
  LEFT JOIN liveops_timeline t
         ON box(point(hashtext(t.part), t.begins),
                point(hashtext(t.part), coalesce(t.ends, 9007199254740992) - 1))
            && box(point(-2147483648, reached.position), point(2147483647, reached.position))
        AND t.begins <= reached.position
        AND (t.ends IS NULL OR t.ends > reached.position);

-- name: timeline_between
SELECT t.thing, t.part, t.begins, t.ends, liveops_instant(t.begun_at) AS begun_at,
       liveops_instant(t.ended_at) AS ended_at, t.body
  FROM unnest(%(parts)s::text[]) AS wanted (part)
 CROSS JOIN LATERAL (
           SELECT *
             FROM liveops_timeline l
            WHERE box(point(hashtext(l.part), l.begins),
                      point(hashtext(l.part), coalesce(l.ends, 9007199254740992) - 1))
                  && box(point(hashtext(wanted.part), %(first)s::bigint),
                         point(hashtext(wanted.part), %(last)s::bigint))
              AND l.part = wanted.part
              AND l.begins <= %(last)s
              AND (l.ends IS NULL OR l.ends > %(first)s)
              AND (l.levers = '{{}}' OR %(levers)s::text[] IS NULL OR l.levers && %(levers)s::text[])
           OFFSET 0
       ) AS t
 ORDER BY t.begins, t.thing;

-- name: timeline_whole_between
SELECT t.thing, t.part, t.begins, t.ends, liveops_instant(t.begun_at) AS begun_at,
       liveops_instant(t.ended_at) AS ended_at, t.body
  FROM liveops_timeline t
 WHERE box(point(hashtext(t.part), t.begins),
           point(hashtext(t.part), coalesce(t.ends, 9007199254740992) - 1))
       && box(point(-2147483648, %(first)s::bigint), point(2147483647, %(last)s::bigint))
   AND t.begins <= %(last)s
   AND (t.ends IS NULL OR t.ends > %(first)s)
   AND (t.levers = '{{}}' OR %(levers)s::text[] IS NULL OR t.levers && %(levers)s::text[])
 ORDER BY t.begins, t.thing;

-- name: tree_events
SELECT position, liveops_instant(recorded_at), state
  FROM liveops_events
 WHERE position BETWEEN %(first)s AND %(last)s
 ORDER BY position;

-- name: tree_read
SELECT t.level, t.tile, t.hashes
  FROM unnest(%(levels)s::smallint[], %(tiles)s::bigint[]) AS wanted (level, tile)
  JOIN liveops_tree t ON (t.level, t.tile) = (wanted.level, wanted.tile);

-- name: tree_write
INSERT INTO liveops_tree (level, tile, width, hashes)
SELECT * FROM unnest(%(levels)s::smallint[], %(tiles)s::bigint[], %(widths)s::smallint[],
                     %(hashes)s::bytea[])
    ON CONFLICT (level, tile) DO UPDATE SET width = excluded.width, hashes = excluded.hashes;

-- name: tree_size
SELECT tile * 256 + width FROM liveops_tree WHERE level = 0 ORDER BY tile DESC LIMIT 1;

-- name: checkpoints_add
-- Whoever was first has signed the same text: Ed25519 leaves nothing to chance.
INSERT INTO liveops_checkpoints (size, root, note) VALUES (%(size)s, %(root)s, %(note)s)
    ON CONFLICT (size) DO UPDATE SET note = excluded.note
 WHERE liveops_checkpoints.root = excluded.root AND liveops_checkpoints.note <> excluded.note;

-- name: checkpoints_newest
SELECT size, root, note, liveops_instant(signed_at) AS signed_at
  FROM liveops_checkpoints
 ORDER BY size DESC
 LIMIT 1;

-- name: checkpoints_covering
SELECT size, root, note, liveops_instant(signed_at) AS signed_at
  FROM liveops_checkpoints
 WHERE size >= %(size)s
 ORDER BY size
 LIMIT 1;

-- name: checkpoints_after
SELECT size, root, note, liveops_instant(signed_at) AS signed_at
  FROM liveops_checkpoints
 WHERE size > %(after)s
 ORDER BY size
 LIMIT %(limit)s;

-- name: log_keys
SELECT vkey FROM liveops_log_keys ORDER BY since, vkey;

-- name: log_keys_add
INSERT INTO liveops_log_keys (vkey, since)
SELECT vkey, %(since)s FROM unnest(%(vkeys)s::text[]) AS vkey
    ON CONFLICT DO NOTHING;

-- name: log_first_event
SELECT state FROM liveops_events WHERE position = 1;

-- name: heads_session
SELECT set_config('role', 'liveops_reader', false);

-- name: verification_session
-- Compiling costs more than it brings in tables whose size the planner learns of late.
SELECT set_config('jit', 'off', true);

-- name: verification_lock
-- 1280333394 is "LPVR" in ASCII; the oid keeps two ledgers of one database apart.
SELECT pg_try_advisory_xact_lock(1280333394, 'liveops_verifications'::regclass::oid::integer);

-- name: verification_log
SELECT position, liveops_instant(recorded_at), originator_id, originator_version, topic, actor, state
  FROM liveops_events
 WHERE position <= coalesce(%(upto)s::bigint, 9223372036854775807)
 ORDER BY position;

-- name: verification_table
-- Which table a name means, and its columns: those that are its key in front.
SELECT c.oid, array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum = ANY (i.indkey))
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
 WHERE c.oid = to_regclass(%(table)s)
 GROUP BY c.oid;

-- name: verification_like
CREATE TEMPORARY TABLE {table} (LIKE {live} INCLUDING ALL);

-- name: verification_analyze
ANALYZE {tables};

-- name: verification_hold
LOCK TABLE {live} IN ACCESS SHARE MODE;

-- name: verification_compare
-- Every row of either as Postgres writes it, byte for byte; of the first that differ all columns.
SELECT l.tableoid IS NULL, b.tableoid IS NULL, ARRAY[{live_columns}]::text[],
       ARRAY[{built_columns}]::text[]
  FROM {live} l
  FULL JOIN {built} b USING ({keys})
 WHERE l::text IS DISTINCT FROM b::text
 ORDER BY {keys}
 LIMIT 5;

-- name: verification_add
INSERT INTO liveops_verifications (position, events, checkpoints, seconds, sound, views, faults)
VALUES (%(position)s, %(events)s, %(checkpoints)s, %(seconds)s, %(sound)s, %(views)s, %(faults)s);

-- name: verification_last
SELECT liveops_instant(checked_at) AS checked_at, position, events, checkpoints, seconds, sound,
       views, faults
  FROM liveops_verifications
 ORDER BY checked_at DESC
 LIMIT 1;

-- name: verification_age
SELECT extract(epoch FROM clock_timestamp() - max(checked_at))::float8 FROM liveops_verifications;
