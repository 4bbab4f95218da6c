-- From the first shape of the tables, where the whole log had one random name, to a stamp of its own for each event. The
-- name becomes the stamp of every event that the log holds: so ids that clients hold stay good.

-- A default that is a constant touches no row, however long the log is: PostgreSQL notes it once for all of them.
-- An answer that is kept for a repeat gets what answers have today: the id of its event, and the stamps of those that
-- it shows. Where that event is no longer kept, the head stands in for it: whoever resumes there misses nothing of what
-- comes after the upgrade.
ALTER TABLE bell.changebell_log ADD pruned_stamp text, ALTER pruned SET DEFAULT 0;
UPDATE bell.changebell_log SET pruned_stamp = name;
ALTER TABLE bell.changebell_log DROP name, ALTER pruned_stamp SET NOT NULL;
DO $$ BEGIN
  EXECUTE pg_catalog.format('ALTER TABLE bell.changebell_events ADD stamp text NOT NULL DEFAULT %L, ADD extensions text',
    (SELECT pruned_stamp FROM bell.changebell_log));
END $$;
ALTER TABLE bell.changebell_idempotency ADD event_id text;
UPDATE bell.changebell_idempotency SET event_id = pruned_stamp || '-' || coalesce(
    CASE WHEN answer LIKE '{"seq":%' THEN (answer::json->>'seq')::bigint
    ELSE (SELECT min(seq) FROM bell.changebell_events
      WHERE type = 'customer.created' AND source = '/api/customers/' || substring(answer FROM '^{"id":([0-9]+)')) END,
    greatest(pruned, (SELECT max(seq) FROM bell.changebell_events))),
  answer = CASE WHEN answer LIKE '{"seq":%'
    THEN '[' || left(answer, -1) || ',"stamp":"' || pruned_stamp || '","extensions":null}]' ELSE answer END
FROM bell.changebell_log;
ALTER TABLE bell.changebell_idempotency ALTER event_id SET NOT NULL;
