-- What was set aside is put back, into tables of today's form.
UPDATE changebell_log SET (pruned, pruned_stamp) = (SELECT pruned, pruned_stamp FROM changebell_log_old);

-- What the checks of today refuse keeps its place without its data, and says so: a seq that is missing would look like
-- a log that was pruned up to there, and one bad row must not keep the program from starting.
INSERT INTO changebell_events (seq, stamp, type, source, time, data, extensions)
SELECT seq, stamp, type, source, time, CASE WHEN is_good THEN data ELSE 'null' END,
  CASE WHEN is_good THEN extensions ELSE '{"truncated":true}' END
FROM (
  SELECT *, typeof(data) = 'text' AND json_valid(data) AND instr(data, char(0)) = 0
    AND length(CAST(data AS BLOB)) <= 1048576 * length(CAST('a' AS BLOB)) AS is_good
  FROM changebell_events_old
) ORDER BY seq;

INSERT INTO changebell_idempotency (key, request, answer, event_id, created_at)
SELECT key, request, answer, event_id, created_at FROM changebell_idempotency_old;

-- AUTOINCREMENT counts from what it finds here. No seq is given twice, also where the newest events are gone.
DELETE FROM sqlite_sequence WHERE name = 'changebell_events';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'changebell_events', max(pruned, (SELECT coalesce(max(seq), 0) FROM changebell_events)) FROM changebell_log;

DROP TABLE changebell_log_old;
DROP TABLE changebell_events_old;
DROP TABLE changebell_idempotency_old;
