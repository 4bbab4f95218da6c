-- What a database of version 2 holds whose tables have not yet the form of today, set aside.
CREATE TABLE changebell_log_old AS SELECT pruned, pruned_stamp FROM changebell_log;
CREATE TABLE changebell_events_old AS SELECT seq, stamp, type, source, time, data, extensions FROM changebell_events;
CREATE TABLE changebell_idempotency_old AS SELECT key, request, answer, event_id, created_at FROM changebell_idempotency;
