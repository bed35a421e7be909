-- A ledger of a million events, and its views, without going through either: what is measured on it
-- are plans. Mixed as a game's is: a few actors do nearly everything, kills and freezes are rare.

ALTER TABLE liveops_events DISABLE TRIGGER ALL;

CREATE TEMP TABLE made AS
SELECT n AS position,
       timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' AS ts,
       CASE WHEN n % 5000 = 0 THEN 'kill'
            WHEN n % 5000 = 1 THEN 'restore'
            WHEN n % 20000 = 2 THEN 'freeze'
            WHEN n % 20000 = 3 THEN 'unfreeze'
            WHEN n % 4000 = 4 THEN 'start_experiment'
            WHEN n % 4000 = 5 THEN 'stop_experiment'
            WHEN n % 100000 = 6 THEN 'adopt_catalog'
            WHEN n % 7 = 0 THEN 'create'
            WHEN n % 7 < 4 THEN 'revise'
            WHEN n % 7 < 6 THEN 'activate'
            ELSE 'deactivate' END AS action,
       lpad(to_hex(n % 40000), 32, '0')::uuid AS config_id,
       lpad(to_hex(CASE WHEN n % 10 < 9 THEN n % 3 ELSE n % 1000 END), 32, '0')::uuid AS actor
  FROM generate_series(1, 1000000) AS n;

INSERT INTO liveops_events
       (position, recorded_at, originator_id, originator_version, topic, state,
        actor, idempotency_key, request_digest)
SELECT position, ts, config_id, position / 40000 + 1, initcap(action), '\x7b7d'::bytea,
       CASE WHEN position % 2 = 0 THEN actor END,
       CASE WHEN position % 2 = 0 THEN 'k' || position END,
       CASE WHEN position % 2 = 0 THEN '\x00'::bytea END
  FROM made;

INSERT INTO liveops_audit
SELECT lpad(to_hex(position), 32, '0')::uuid,
       CASE WHEN action IN ('create', 'revise', 'activate', 'deactivate') THEN config_id END,
       action::liveops_audit_action, actor, '{}', ts, position, 'why',
       lpad(to_hex(position / 3), 32, '0')::uuid, lpad(to_hex(position / 3), 32, '0')::uuid,
       (CASE WHEN action IN ('kill', 'restore', 'adopt_catalog') THEN NULL
             WHEN action LIKE '%experiment' OR position % 50 = 0 THEN 'experiment'
             WHEN position % 1000 = 1 THEN 'global'
             WHEN position % 10 < 2 THEN 'session'
             ELSE 'world' END)::liveops_config_scope,
       CASE WHEN action IN ('kill', 'restore', 'adopt_catalog') THEN NULL
            WHEN action LIKE '%experiment' THEN 'e' || position / 4000 % 50
            WHEN position % 50 = 0 THEN 'e' || position % 50 || ':a'
            WHEN position % 1000 = 1 THEN 'global'
            WHEN position % 10 < 2 THEN 's' || position % 40000
            ELSE 'w' || position % 2000 END,
       1, ARRAY['LEVER_' || position % 60], false, '[]'
  FROM made;

INSERT INTO liveops_audit_levers
SELECT 'LEVER_' || position % 60, position FROM made
 UNION ALL
SELECT 'RARE', position FROM made WHERE position % 10000 = 9;

INSERT INTO liveops_audit_experiments
SELECT 'e' || e, 'LEVER_' || l, lpad(to_hex(l), 32, '0')::uuid, e * 100 + l
  FROM generate_series(0, 49) AS e, generate_series(0, 59) AS l;

-- 2,000 things, each of which was changed five hundred times.
INSERT INTO liveops_timeline
SELECT 'thing ' || position % 2000,
       CASE WHEN position % 2000 < 3 THEN 'kills'
            WHEN position % 2000 < 5 THEN 'freezes'
            WHEN position % 2000 = 5 THEN 'catalog'
            WHEN position % 2000 < 10 THEN 'experiments'
            WHEN position % 2000 < 200 THEN 'session:s' || position % 2000
            WHEN position % 2000 < 220 THEN 'global:global'
            ELSE 'world:w' || position % 200 END,
       position, CASE WHEN position <= 998000 THEN position + 2000 END,
       ts, CASE WHEN position <= 998000 THEN ts END,
       ARRAY['LEVER_' || position % 60], '{"kind": "none"}'
  FROM made;
