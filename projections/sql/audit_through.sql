-- Part of `audit_page`: a column.
-- By which configs an experiment concerns a lever: those that set it there before its run was over,
-- the first twenty.
CASE WHEN config_id IS NULL AND scope = 'experiment'::liveops_config_scope THEN ARRAY(
    SELECT x.config_id
      FROM liveops_audit_experiments x
     WHERE x.experiment = liveops_audit.scope_ref
       AND x.lever = %(lever)s
       AND NOT EXISTS (
               SELECT FROM liveops_audit s
                WHERE s.config_id IS NULL AND s.scope_ref = x.experiment
                  AND s.action = 'stop_experiment'
                  AND s.position >= liveops_audit.position AND s.position < x.position)
     ORDER BY x.position, x.config_id
     LIMIT 20) END
