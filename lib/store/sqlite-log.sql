-- The event log. Triggers on other tables write into it, in the transaction of the change that they announce. Any
-- program may write here, so what must be true of an event is checked here, and not in ours.
-- Written for SQLite 3.28 and later, since other programs' SQLite must be able to read it as well: no STRICT
-- (3.37), no iif (3.32). So the checks name the kind of value, and `instr(…, char(0))` keeps out a NUL, at which
-- SQLite's own text functions stop.

-- One row: the schema's version, and the newest event that is no longer kept. Its stamp stays, so that a cursor
-- at that place, and at the place before the first event, proves itself like any other.
CREATE TABLE changebell_log (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  version INTEGER NOT NULL,
  pruned INTEGER NOT NULL DEFAULT 0,
  pruned_stamp TEXT NOT NULL DEFAULT (lower(hex(randomblob(4))))
    CHECK (typeof(pruned_stamp) = 'text' AND length(pruned_stamp) BETWEEN 6 AND 64)
);
INSERT INTO changebell_log (one, version) VALUES (1, 2);

-- AUTOINCREMENT: a seq is never given twice, even after the newest event is gone. The stamp is random and belongs
-- to this one event: a cursor is only honoured where the event at its place has its stamp.
CREATE TABLE changebell_events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT CHECK (seq BETWEEN 1 AND 9007199254740991),
  stamp TEXT NOT NULL DEFAULT (lower(hex(randomblob(4)))) CHECK (
    typeof(stamp) = 'text' AND length(stamp) BETWEEN 6 AND 64 AND NOT stamp GLOB '*[^0-9a-f]*' AND instr(stamp, char(0)) = 0
  ),
  type TEXT NOT NULL DEFAULT 'notification' CHECK (
    typeof(type) = 'text' AND length(type) BETWEEN 1 AND 100 AND instr(type, char(0)) = 0
    AND type GLOB '[a-z]*' AND NOT type GLOB '*[^a-z0-9._-]*' AND NOT type GLOB 'stream.*'
  ),
  source TEXT NOT NULL DEFAULT '/api/events' CHECK (
    typeof(source) = 'text' AND length(source) BETWEEN 1 AND 8192 AND instr(source, char(0)) = 0
    AND NOT source GLOB '*[^!-~]*'
  ),
  time TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) CHECK (
    typeof(time) = 'text' AND instr(time, char(0)) = 0
    AND time GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9].[0-9][0-9][0-9]Z'
  ),
  -- At most 1 MiB; a character takes one byte at least in a UTF-8 database, and two in one of UTF-16.
  data TEXT NOT NULL DEFAULT 'null' CHECK (
    typeof(data) = 'text' AND length(CAST(data AS BLOB)) <= 1048576 * length(CAST('a' AS BLOB))
    AND json_valid(data) AND instr(data, char(0)) = 0 -- json_valid lets pass what is behind a NUL
  ),
  extensions TEXT CHECK (extensions IS NULL OR
    typeof(extensions) = 'text' AND json_valid(extensions) AND json_type(extensions) = 'object' AND extensions GLOB '{"*' AND extensions GLOB '*}'
    AND instr(extensions, char(0)) = 0
  )
);

-- A row below the newest would never be seen by a reader that is past it; one far above would use up all numbers. The
-- second newest is the one before, or else, where the new row isn't the newest, one that is not below it.
CREATE TRIGGER changebell_events_in_order AFTER INSERT ON changebell_events
WHEN NEW.seq <> 1 + max(
  (SELECT pruned FROM changebell_log),
  coalesce((SELECT seq FROM changebell_events ORDER BY seq DESC LIMIT 1 OFFSET 1), 0)
)
BEGIN
  SELECT RAISE(ABORT, 'changebell_events: leave seq out, new events go to the end of the log');
END;

-- A reader may have handed it on already, and would never read it again.
CREATE TRIGGER changebell_events_immutable BEFORE UPDATE ON changebell_events
BEGIN
  SELECT RAISE(ABORT, 'changebell_events: an event is a fact and cannot be changed');
END;

-- Whoever deletes events: a cursor before them can't be continued any more. A hole in the middle would be passed over
-- in silence, so all below the newest that was deleted counts as gone.
CREATE TRIGGER changebell_events_pruned AFTER DELETE ON changebell_events
BEGIN
  UPDATE changebell_log SET pruned = OLD.seq, pruned_stamp = OLD.stamp WHERE pruned < OLD.seq;
END;

-- Answers to POSTs that carried an Idempotency-Key, and the id of the event that each of them wrote. They stand here,
-- and not in memory, so that a repeat is known after a restart too; by their age the old ones are found and dropped.
CREATE TABLE changebell_idempotency (
  key TEXT PRIMARY KEY,
  request TEXT NOT NULL,
  answer TEXT NOT NULL,
  event_id TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) WITHOUT ROWID;
CREATE INDEX changebell_idempotency_age ON changebell_idempotency (created_at);
