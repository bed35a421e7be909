SELECT action::text, actor, count(*)
  FROM liveops_audit
 WHERE position > %(after)s AND position <= %(upto)s
   AND (%(scope)s::liveops_config_scope IS NULL
        OR (scope, scope_ref) = (%(scope)s::liveops_config_scope, %(scope_ref)s::text))
 GROUP BY action, actor
 ORDER BY count(*) DESC, action, actor;
