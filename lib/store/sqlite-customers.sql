-- The customers, and the triggers that announce them: a change and its event are one transaction, whoever makes
-- it. Only where no other program has a table of this name. What stands within a statement is stored with it, and views
-- and triggers are compared with this text at each start: so the reasons stand before them.

-- An id is never given twice, since the URL of a deleted customer must not lead to another one, hence AUTOINCREMENT;
-- and JavaScript must have it whole, hence the check. Times have milliseconds and are UTC, as in all events.
CREATE TABLE customers (
  id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 9007199254740991),
  name TEXT NOT NULL,
  email TEXT,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- What a customer looks like in JSON.
CREATE VIEW changebell_customers AS
SELECT id, json_object('id', id, 'name', name, 'email', email,
  'createdAt', created_at, 'updatedAt', updated_at) AS json
FROM customers;

-- After, not before: only now the row has its id and its defaults, and reads as every other reader will see it.
CREATE TRIGGER changebell_customer_created AFTER INSERT ON customers
BEGIN
  INSERT INTO changebell_events (type, source, data)
  SELECT 'customer.created', '/api/customers/' || id, json FROM changebell_customers WHERE id = NEW.id;
END;

-- An update that changes nothing is silent. Who doesn't set `updated_at` itself has it set here, before the event tells
-- it. The inner update fires this trigger again where the writer has set `recursive_triggers`: then this very event is
-- there already.
CREATE TRIGGER changebell_customer_updated AFTER UPDATE ON customers
WHEN (NEW.name, NEW.email, NEW.created_at, NEW.updated_at)
  IS NOT (OLD.name, OLD.email, OLD.created_at, OLD.updated_at)
BEGIN
  UPDATE customers SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
  WHERE id = NEW.id AND NEW.updated_at IS OLD.updated_at;
  INSERT INTO changebell_events (type, source, data)
  SELECT 'customer.updated', '/api/customers/' || id, json FROM changebell_customers
  WHERE id = NEW.id AND NOT EXISTS (
    SELECT 1 FROM (SELECT * FROM changebell_events ORDER BY seq DESC LIMIT 1) AS newest
    WHERE newest.data = json AND newest.type = 'customer.updated' AND newest.source = '/api/customers/' || NEW.id
  );
END;

-- After, not before: a trigger of another program may ignore the DELETE, or write the row again, and then it is not gone.
-- The view can't be asked any more, so what it says is said here once more.
CREATE TRIGGER changebell_customer_deleted AFTER DELETE ON customers
WHEN NOT EXISTS (SELECT 1 FROM customers WHERE id = OLD.id)
BEGIN
  INSERT INTO changebell_events (type, source, data)
  VALUES ('customer.deleted', '/api/customers/' || OLD.id, json_object('id', OLD.id, 'name', OLD.name, 'email', OLD.email,
    'createdAt', OLD.created_at, 'updatedAt', OLD.updated_at));
END;

-- A client knows a customer by its id, so a changed one would be a customer that goes and another that comes, with no
-- event for either. Whatever columns the UPDATE names: SQLite lets `rowid` stand for the id.
CREATE TRIGGER changebell_customer_id BEFORE UPDATE ON customers WHEN NEW.id IS NOT OLD.id
BEGIN
  SELECT RAISE(ABORT, 'customers: the id of a customer cannot be changed');
END;
