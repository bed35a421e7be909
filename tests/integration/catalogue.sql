-- Everything of a schema that a migration could make differently, one line for each thing.
SELECT 'relation' AS kind, c.relname::text AS name,
       concat_ws(' ', c.relkind, pg_get_userbyid(c.relowner), c.reloptions::text, c.relacl::text) AS text
  FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace
UNION ALL
SELECT 'column', format('%s.%s', c.relname, a.attname),
       concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
                 pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid)
  FROM pg_constraint
 WHERE connamespace = current_schema()::regnamespace
UNION ALL
SELECT 'index', indexname, indexdef
  FROM pg_indexes
 WHERE schemaname = current_schema()
UNION ALL
SELECT 'function', p.oid::regprocedure::text,
       concat_ws(' ', pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner), p.proacl::text)
  FROM pg_proc p
 WHERE p.pronamespace = current_schema()::regnamespace
UNION ALL
SELECT 'trigger', format('%s.%s', t.tgrelid::regclass, t.tgname),
       concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
  FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid
 WHERE c.relnamespace = current_schema()::regnamespace
UNION ALL
SELECT 'schema', nspname, nspacl::text
  FROM pg_namespace
 WHERE oid = current_schema()::regnamespace
UNION ALL
SELECT 'migration', version::text, name
  FROM liveops_migrations
 ORDER BY 1, 2, 3;
