-- What asks the views. Bodies that read tables are texts, looked up anew at every call: a body that
-- Postgres tied to a table would keep a rebuilt one from taking its place.

-- An instant as the program counts it: microseconds since 1970.
CREATE OR REPLACE FUNCTION liveops_instant(moment timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (extract(epoch FROM moment) * 1000000)::bigint;

-- The stage of a config when its window clock shows `clock`.
CREATE OR REPLACE FUNCTION liveops_stage(
    status liveops_config_status, active_from timestamptz, active_to timestamptz, clock timestamptz
) RETURNS liveops_config_status
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN status IN ('draft', 'inactive', 'archived') THEN status
        WHEN clock < active_from THEN 'scheduled'::liveops_config_status
        WHEN clock >= active_to THEN 'expired'::liveops_config_status
        ELSE 'active'::liveops_config_status
    END;

-- What the window clock shows at `instant` (the view's last event or later): one row for the global
-- scope, which holds for every place that has no row of its own.
CREATE OR REPLACE FUNCTION liveops_clocks(instant timestamptz)
    RETURNS TABLE (scope liveops_config_scope, scope_ref text, clock timestamptz)
    LANGUAGE sql STABLE ROWS 2
    SET search_path FROM CURRENT
AS $$
    WITH RECURSIVE chain (scope, scope_ref, clock) AS (
        SELECT 'global'::liveops_config_scope, 'global', instant
        UNION
        SELECT f.scope, f.scope_ref, instant FROM liveops_freezes f
        UNION
        SELECT c.scope, c.scope_ref, f.begun_at
          FROM chain c
          JOIN liveops_freezes f
            ON f.begun_at < c.clock AND (f.ended_at IS NULL OR c.clock < f.ended_at)
           AND (f.scope = 'global' OR (f.scope, f.scope_ref) = (c.scope, c.scope_ref))
    )
    SELECT chain.scope, chain.scope_ref, min(chain.clock) FROM chain GROUP BY 1, 2;
$$;

-- For people: the status of every config at an instant (the view's last event or later).
CREATE OR REPLACE FUNCTION liveops_configs_at(instant timestamptz DEFAULT now())
    RETURNS TABLE (config_id uuid, status liveops_config_status, clock timestamptz)
    LANGUAGE sql STABLE
    SET search_path FROM CURRENT
AS $$
    WITH clocks AS MATERIALIZED (SELECT * FROM liveops_clocks(instant))
    SELECT c.config_id, liveops_stage(c.status, c.active_from, c.active_to, k.clock), k.clock
      FROM liveops_configs c
     CROSS JOIN LATERAL (
               SELECT clocks.clock
                 FROM clocks
                WHERE (clocks.scope, clocks.scope_ref) IN ((c.scope, c.scope_ref), ('global', 'global'))
                ORDER BY clocks.scope DESC
                LIMIT 1
           ) AS k;
$$;
