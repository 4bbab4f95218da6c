-- An order that goes alone: it must first look at what is there, at a row or at a key. Changes of customers stand in
-- `postgres-customers.sql`, those of other tables in `postgres-resource.sql`; here are the keys and the publications.
-- `changebell_write_one` keeps the path of the session, for the same reason as those of `postgres-write.sql`.

-- An order by itself. A key that was used before is looked for first: the same request gets the first answer once more,
-- another one is refused.
-- Only what is done is kept under a key: what was refused may be tried again with the same one.
-- Two servers can't use one key at the same time, since all our writes share the lock of `changebell_write`.
CREATE FUNCTION bell.changebell_write_one(item jsonb, low bigint) RETURNS bell.changebell_outcome LANGUAGE plpgsql AS $$
DECLARE
  result bell.changebell_outcome;
  earlier bell.changebell_idempotency;
BEGIN
  result.place := (item->>'place')::integer;
  SELECT * INTO earlier FROM bell.changebell_idempotency WHERE key = item->>'key';
  IF FOUND THEN
    result.outcome := CASE WHEN earlier.request = item->>'request' THEN 'replayed' ELSE 'key taken' END;
    result.answer := earlier.answer;
    result.event_id := earlier.event_id;
    RETURN result;
  END IF;
  IF item->>'op' = 'publish' THEN
    SELECT * INTO result.outcome, result.answer, result.event_id FROM bell.changebell_publish(item, low);
  ELSIF item ? 'table' THEN
    SELECT * INTO result.outcome, result.answer, result.event_id FROM bell.changebell_change_row(item, low);
  ELSE
    SELECT * INTO result.outcome, result.answer, result.event_id FROM bell.changebell_change(item, low);
  END IF;
  IF result.outcome = 'done' THEN PERFORM bell.changebell_keep(item, result.answer, result.event_id); END IF;
  RETURN result;
END $$;

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
    SELECT * INTO earlier FROM bell.changebell_idempotency WHERE key = event->>'key';
    IF FOUND AND earlier.request <> event->>'request' THEN
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
      SELECT seq INTO mark FROM bell.changebell_number(low, 500, mark - 1, true) WHERE draft = mark;
      one := bell.changebell_stored(mark);
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
  IF NOT item ? 'key' THEN RETURN; END IF;
  INSERT INTO bell.changebell_idempotency VALUES (item->>'key', item->>'request', answer, event_id);
  DELETE FROM bell.changebell_idempotency WHERE key IN (
    SELECT key FROM bell.changebell_idempotency WHERE created_at < now() - interval '48 hours'
    ORDER BY created_at LIMIT 2);
END $$;

-- An event as it stands in the log, for the answer to who published it.
-- Read back and not taken from what was sent: a trigger of an application may have changed it.
-- Its `data` is a text in there, so it comes back to the byte.
CREATE FUNCTION bell.changebell_stored(which bigint) RETURNS json LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT to_json(event) FROM bell.changebell_events AS event WHERE seq = which
$$;
