-- The customers, the event log, and the triggers that tie them: a change and its event are one
-- transaction, whoever makes it. Written for SQLite 3.38 and later, since other programs' SQLite must
-- be able to read it as well.

-- One row: the log's random name, the schema's version, and up to which seq events are no longer kept.
CREATE TABLE changebell_log (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  version INTEGER NOT NULL,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 6 AND 64 AND NOT name GLOB '*[^0-9a-f]*'),
  pruned INTEGER NOT NULL
) STRICT;
INSERT INTO changebell_log VALUES (1, 1, lower(hex(randomblob(4))), 0);

-- The event log. AUTOINCREMENT: a seq is never given twice, even after the newest event is gone.
CREATE TABLE changebell_events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT CHECK (seq BETWEEN 1 AND 9007199254740991),
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
  )
) STRICT;

-- A row below the newest would never be seen by a reader that is past it.
CREATE TRIGGER changebell_events_in_order AFTER INSERT ON changebell_events
WHEN NEW.seq <= (SELECT seq FROM sqlite_sequence WHERE name = 'changebell_events')
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
  UPDATE changebell_log SET pruned = OLD.seq WHERE pruned < OLD.seq;
END;

-- Answers to POSTs that carried an Idempotency-Key.
CREATE TABLE changebell_idempotency (
  key TEXT PRIMARY KEY,
  request TEXT NOT NULL,
  answer TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) STRICT, WITHOUT ROWID;
CREATE INDEX changebell_idempotency_age ON changebell_idempotency (created_at);

-- Only where no other program has a table of this name:
-- ---------------------------------------------------------------------------------------- customers

CREATE TABLE customers (
  id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 9007199254740991),
  name TEXT NOT NULL,
  email TEXT,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

-- The one place that says what a customer looks like in JSON.
CREATE VIEW changebell_customers AS
SELECT id, json_object('id', id, 'name', name, 'email', email,
  'createdAt', created_at, 'updatedAt', updated_at) AS json
FROM customers;

CREATE TRIGGER changebell_customer_created AFTER INSERT ON customers
BEGIN
  INSERT INTO changebell_events (type, source, data)
  SELECT 'customer.created', '/api/customers/' || id, json FROM changebell_customers WHERE id = NEW.id;
END;

-- An update that changes nothing is silent. The inner update fires this trigger again where the writer has set
-- `recursive_triggers`: then the event is there already.
CREATE TRIGGER changebell_customer_updated AFTER UPDATE ON customers
WHEN (NEW.name, NEW.email, NEW.created_at, NEW.updated_at)
  IS NOT (OLD.name, OLD.email, OLD.created_at, OLD.updated_at)
BEGIN
  UPDATE customers SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
  WHERE id = NEW.id AND NEW.updated_at IS OLD.updated_at;
  INSERT INTO changebell_events (type, source, data)
  SELECT 'customer.updated', '/api/customers/' || id, json FROM changebell_customers
  WHERE id = NEW.id AND json IS NOT (SELECT data FROM changebell_events ORDER BY seq DESC LIMIT 1);
END;

-- Before, not after: only now can the row still be read.
CREATE TRIGGER changebell_customer_deleted BEFORE DELETE ON customers
BEGIN
  INSERT INTO changebell_events (type, source, data)
  SELECT 'customer.deleted', '/api/customers/' || id, json FROM changebell_customers WHERE id = OLD.id;
END;

CREATE TRIGGER changebell_customer_id BEFORE UPDATE OF id ON customers WHEN NEW.id IS NOT OLD.id
BEGIN
  SELECT RAISE(ABORT, 'customers: the id of a customer cannot be changed');
END;
