-- Part of `audit_page`: what it reads from, where several actions are asked for.
-- A page of each action by itself, so that a rare one beside a frequent one costs no long walk.
(SELECT of_one.*
   FROM unnest(%(actions)s::liveops_audit_action[]) AS wanted (action)
  CROSS JOIN LATERAL (
            SELECT *
              FROM liveops_audit
             WHERE action BETWEEN wanted.action AND wanted.action
               AND {conditions}
             ORDER BY {order}
             LIMIT %(limit)s
        ) AS of_one) AS liveops_audit
