-- The event log. Triggers on other tables write into it, in the transaction of the change that they announce.
-- Written for SQLite 3.38 and later, since other programs' SQLite must be able to read it as well.

-- One row: the schema's version, and the newest event that is no longer kept. Its stamp stays, so that a cursor
-- at that place, and at the place before the first event, proves itself like any other.
CREATE TABLE changebell_log (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  version INTEGER NOT NULL,
  pruned INTEGER NOT NULL DEFAULT 0,
  pruned_stamp TEXT NOT NULL DEFAULT (lower(hex(randomblob(4))))
) STRICT;
INSERT INTO changebell_log (one, version) VALUES (1, 2);

-- AUTOINCREMENT: a seq is never given twice, even after the newest event is gone. The stamp is random and belongs
-- to this one event: a cursor is only honoured where the event at its place has its stamp.
CREATE TABLE changebell_events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT CHECK (seq BETWEEN 1 AND 9007199254740991),
  stamp TEXT NOT NULL DEFAULT (lower(hex(randomblob(4)))) CHECK (
    length(stamp) BETWEEN 6 AND 64 AND length(stamp) = length(CAST(stamp AS BLOB)) AND NOT stamp GLOB '*[^0-9a-f]*'
  ),
  type TEXT NOT NULL DEFAULT 'notification' CHECK (
    length(type) BETWEEN 1 AND 100 AND length(type) = length(CAST(type AS BLOB)) -- ASCII without NUL
    AND type GLOB '[a-z]*' AND NOT type GLOB '*[^a-z0-9._-]*' AND NOT type GLOB 'stream.*'
  ),
  source TEXT NOT NULL DEFAULT '/api/events' CHECK (
    length(source) BETWEEN 1 AND 200 AND length(source) = length(CAST(source AS BLOB))
    AND NOT source GLOB '*[^!-~]*'
  ),
  time TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) CHECK (
    time GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9].[0-9][0-9][0-9]Z'
    AND length(time) = length(CAST(time AS BLOB))
  ),
  data TEXT NOT NULL DEFAULT 'null' CHECK (
    json_valid(data) AND instr(data, char(0)) = 0 -- json_valid stops at a NUL, and lets pass what is behind it
  ),
  extensions TEXT CHECK (
    extensions IS NULL OR ( -- said first: to SQLite before 3.45 a NULL is not valid JSON
      json_valid(extensions) AND json_type(extensions) = 'object' AND extensions GLOB '{"*' AND extensions GLOB '*}'
      AND instr(extensions, char(0)) = 0
    )
  )
) STRICT;

-- A row below the newest would never be seen by a reader that is past it; one far above would use up all numbers.
CREATE TRIGGER changebell_events_in_order AFTER INSERT ON changebell_events
WHEN NEW.seq <> 1 + max(
  (SELECT pruned FROM changebell_log),
  coalesce((SELECT seq FROM changebell_events WHERE seq < NEW.seq ORDER BY seq DESC LIMIT 1), 0)
) OR EXISTS (SELECT 1 FROM changebell_events WHERE seq > NEW.seq)
BEGIN
  SELECT RAISE(ABORT, 'changebell_events: leave seq out, new events go to the end of the log');
END;

CREATE TRIGGER changebell_events_immutable BEFORE UPDATE ON changebell_events
BEGIN
  SELECT RAISE(ABORT, 'changebell_events: an event is a fact and cannot be changed');
END;

-- Whoever deletes events: a cursor before them can't be continued any more.
CREATE TRIGGER changebell_events_pruned AFTER DELETE ON changebell_events
BEGIN
  UPDATE changebell_log SET pruned = OLD.seq, pruned_stamp = OLD.stamp WHERE pruned < OLD.seq;
END;

-- Answers to POSTs that carried an Idempotency-Key, and the id of the event that each of them wrote.
CREATE TABLE changebell_idempotency (
  key TEXT PRIMARY KEY,
  request TEXT NOT NULL,
  answer TEXT NOT NULL,
  event_id TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) STRICT, WITHOUT ROWID;
CREATE INDEX changebell_idempotency_age ON changebell_idempotency (created_at);
