-- What a database of version 1 holds, set aside in the columns of today. The name of the log becomes the stamp of every
-- event in it, and of the place before the first that is kept.
CREATE TABLE changebell_log_old AS SELECT pruned, name AS pruned_stamp FROM changebell_log;

CREATE TABLE changebell_events_old AS
SELECT seq, name AS stamp, type, source, time, data, NULL AS extensions FROM changebell_events, changebell_log;

-- Answers under a key had no position: they get the newest one, from which a reader sees what they wrote.
CREATE TABLE changebell_idempotency_old AS
SELECT key, request, answer, name || '-' || max(pruned, (SELECT coalesce(max(seq), 0) FROM changebell_events)) AS event_id,
  created_at
FROM changebell_idempotency, changebell_log;
