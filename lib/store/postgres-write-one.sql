-- An order that goes alone: it must first look at what is there, at a row or at a key. Changes of other tables than the
-- customers stand in `postgres-resource.sql`. `changebell_write_one` and `changebell_change` keep the path of the
-- session, for the same reason as those of `postgres-write.sql`.

-- An order by itself. A key that was used before is looked for first: the same request gets the first answer once more,
-- another one is refused.
-- Only what is done is kept under a key: what was refused may be tried again with the same one.
-- Two servers can't use one key at the same time, since all our writes share the lock of `changebell_write_parts`.
CREATE FUNCTION bell.changebell_write_one(item jsonb, low bigint) RETURNS bell.changebell_outcome LANGUAGE plpgsql AS $$
DECLARE
  result bell.changebell_outcome;
  earlier bell.changebell_idempotency;
BEGIN
  result.place := (item->>'place'::text)::integer;
  SELECT * INTO earlier FROM bell.changebell_idempotency WHERE key = item->'idempotency'::text->>'key'::text;
  IF FOUND THEN
    result.outcome := CASE WHEN earlier.request = item->'idempotency'::text->>'request'::text THEN 'replayed' ELSE 'key taken' END;
    result.answer := earlier.answer;
    result.event_id := earlier.event_id;
    RETURN result;
  END IF;
  IF item->>'op'::text = 'publish' THEN
    SELECT * INTO result.outcome, result.answer, result.event_id FROM bell.changebell_publish(item, low);
  ELSIF item->>'table'::text <> 'customers' THEN
    SELECT * INTO result.outcome, result.answer, result.event_id FROM bell.changebell_change_row(item, low);
  ELSE
    SELECT * INTO result.outcome, result.answer, result.event_id FROM bell.changebell_change(item, low);
  END IF;
  IF result.outcome = 'done' THEN PERFORM bell.changebell_keep(item, result.answer, result.event_id); END IF;
  RETURN result;
END $$;

-- Creates, changes or deletes a customer. The row is locked before what is committed is numbered: so whatever happened
-- to it before comes before, and nothing between.
-- `mark` is the number of a draft that is never written: what this order writes comes above it.
-- Whoever holds the row is not waited for: SKIP LOCKED finds none then, and `changebell_verdict` says why.
-- A trigger of an application may leave the row out without an error, and that must not be told as done.
-- Deferred constraints are checked at once: what breaks one at the commit would undo every order.
-- `concat` and not `||`: that of a text and a number could be an operator that another role has put into our schema.
CREATE FUNCTION bell.changebell_change(item jsonb, low bigint, OUT outcome text, OUT answer text, OUT event_id text)
LANGUAGE plpgsql AS $$
DECLARE
  mark bigint := pg_catalog.nextval('bell.changebell_drafts');
  which bigint := item->>'id'::text;
  op text := item->>'op'::text;
  fields jsonb := item->'fields'::text;
  old text;
BEGIN
  IF op = 'delete' THEN
    SELECT bell.changebell_json(customer) INTO old FROM bell.customers AS customer WHERE id = which FOR UPDATE SKIP LOCKED;
  ELSIF op = 'update' THEN -- rows that refer to this one may be in the making
    SELECT bell.changebell_json(customer) INTO old FROM bell.customers AS customer WHERE id = which FOR NO KEY UPDATE SKIP LOCKED;
  END IF;
  outcome := CASE WHEN op = 'create' THEN 'done' ELSE bell.changebell_verdict(item, old) END;
  IF outcome <> 'done' THEN
    answer := old;
    RETURN;
  ELSIF op = 'create' THEN
    INSERT INTO bell.customers AS customer (name, email) VALUES (fields->>'name'::text, fields->>'email'::text)
    RETURNING id INTO which;
  ELSIF op = 'delete' THEN
    DELETE FROM bell.customers WHERE id = which;
  ELSE
    UPDATE bell.customers SET name = coalesce(fields->>'name'::text, name),
      email = CASE WHEN fields ? 'email'::text THEN fields->>'email'::text ELSE email END WHERE id = which;
  END IF;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'CB409', MESSAGE = 'A rule of the database ignores this change.';
  END IF;
  SET CONSTRAINTS ALL IMMEDIATE;
  SET CONSTRAINTS ALL DEFERRED; -- the next write may need it
  PERFORM FROM bell.changebell_number(low, 500, mark, true);
  SELECT bell.changebell_json(customer) INTO answer FROM bell.customers AS customer WHERE id = which;
  event_id := bell.changebell_newest(CASE WHEN answer IS DISTINCT FROM old THEN pg_catalog.concat('/api/customers/', which) END);
END $$;

-- May this row be changed? `old` is what was locked. Where there is none, a look without a lock tells a row that is
-- held from one that is gone.
-- A precondition that wasn't given is null, and a comparison with it is not true.
-- If-None-Match also takes a tag that is marked as weak, and If-Match does not.
CREATE FUNCTION bell.changebell_verdict(item jsonb, old text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  conditions jsonb := item->'preconditions';
  etag text := concat('"', left(encode(sha256(convert_to(old, 'UTF8')), 'hex'), 32), '"'); -- as the HTTP API has it
BEGIN
  IF old IS NULL THEN
    RETURN CASE WHEN EXISTS (SELECT FROM bell.customers WHERE id = (item->>'id')::bigint) THEN 'locked'
      WHEN conditions ? 'ifMatch' THEN 'precondition failed' ELSE 'missing' END;
  ELSIF NOT conditions->'ifMatch' ?| ARRAY['*', etag] OR conditions->'ifNoneMatch' ?| ARRAY['*', etag, 'W/' || etag] THEN
    RETURN 'precondition failed';
  END IF;
  RETURN 'done';
END $$;

-- The newest event of this source, which was just written; where nothing changed, the newest of all.
-- It stands near the end of the log. So the source has no index, which every event would pay for, and a search in vain
-- ends soon.
-- A trigger of an application may have changed the row again: the last event is where the caller goes on from. What it
-- has written besides has other sources, and is passed over.
CREATE FUNCTION bell.changebell_newest(of text) RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT stamp || '-' || seq FROM (
      SELECT * FROM bell.changebell_events WHERE seq > 0 ORDER BY seq DESC LIMIT 10000) AS newest
    WHERE source = of ORDER BY seq DESC LIMIT 1), head_stamp || '-' || head)
  FROM bell.changebell_position
$$;

-- Stores a list of events, of which some may have been stored before under a key of their own. Each is numbered before
-- the next: one that follows from it, by a trigger, comes right behind it.
-- The id in the answer is that of the last event that this call stored; where it stored none, of the last one there.
-- Where a key of the list was used for another event, the list as a whole is refused: the error, whose message is the
-- event's place in the list, undoes what was stored before it.
-- A rule of an application may leave an event out without an error, and that must not be told as done.
-- `mark` is the number of the event's own draft: what stands above the number before it is that event, and what
-- triggers have added to it.
CREATE FUNCTION bell.changebell_publish(item jsonb, low bigint, OUT outcome text, OUT answer text, OUT event_id text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stored json[];
  one json;
  event jsonb;
  place bigint;
  mark bigint;
  earlier bell.changebell_idempotency;
BEGIN
  FOR event, place IN SELECT * FROM jsonb_array_elements(item->'events') WITH ORDINALITY LOOP
    SELECT * INTO earlier FROM bell.changebell_idempotency WHERE key = event->'idempotency'->>'key';
    IF FOUND AND earlier.request <> event->'idempotency'->>'request' THEN
      RAISE EXCEPTION USING ERRCODE = 'CB422', MESSAGE = place - 1; -- of such a list nothing is stored
    ELSIF FOUND THEN
      one := earlier.answer::json->0;
      event_id := CASE WHEN outcome = 'done' THEN event_id ELSE earlier.event_id END;
      outcome := coalesce(outcome, 'replayed');
    ELSE
      mark := nextval('bell.changebell_drafts');
      INSERT INTO bell.changebell_events (type, source, data, extensions)
      VALUES (event->>'type', event->>'source', event->>'data', event->>'extensions') RETURNING seq INTO mark;
      IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CB409', MESSAGE = 'A rule of the database ignores this change.';
      END IF;
      -- The next search begins behind it, and passes over none of this list's dead rows.
      SELECT seq, draft INTO mark, low FROM bell.changebell_number(low, 500, mark - 1, true) WHERE draft = mark;
      -- Read back and not taken from what was sent: a trigger of an application may have changed it. Its `data` is a text in
      -- there, so it comes back to the byte.
      SELECT to_json(log) INTO one FROM bell.changebell_events AS log WHERE seq = mark;
      event_id := (one->>'stamp') || '-' || (one->>'seq');
      outcome := 'done';
      PERFORM bell.changebell_keep(event, json_build_array(one)::text, event_id);
    END IF;
    stored := stored || one;
  END LOOP;
  answer := array_to_json(stored);
END $$;

-- The answer to a repeat; and two old keys go, so that they go faster than new ones come.
-- Kept in the transaction of the write: both are there after a crash, or neither is.
-- The API promises 24 hours. After 48 a key may go, and need not at once: so no timer deletes them.
CREATE FUNCTION bell.changebell_keep(item jsonb, answer text, event_id text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT item ? 'idempotency' THEN RETURN; END IF;
  INSERT INTO bell.changebell_idempotency
  VALUES (item->'idempotency'->>'key', item->'idempotency'->>'request', answer, event_id);
  DELETE FROM bell.changebell_idempotency WHERE key IN (
    SELECT key FROM bell.changebell_idempotency WHERE created_at < now() - interval '48 hours'
    ORDER BY created_at LIMIT 2);
END $$;
