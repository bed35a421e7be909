-- 1280333122 is "LPUB" in ASCII; the hash keeps two ledgers of one database apart, and two prefixes.
SELECT pg_try_advisory_lock(
           1280333122, hashtext('liveops_events'::regclass::oid::text || ':' || %(prefix)s));
