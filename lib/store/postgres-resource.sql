-- Writes to the tables of resources beside the customers. Their rows are announced by the triggers of WATCH, and their
-- JSON is that of their events. The customers have statements of their own, whose plans are kept: theirs are many.

-- As `changebell_change`: the row is locked before what is committed is numbered, so that whatever happened to it
-- before comes before, and nothing between.
-- `mark` is the number of a draft that is never written: what this order writes comes above it.
-- Who holds the row is not waited for: SKIP LOCKED finds none, and the look without a lock after it tells a row that is
-- held from one that is gone.
-- Names of tables and columns are quoted wherever they become SQL; values only travel as parameters.
-- The fields become a row of the table by their names, so each value is read as its column's type.
-- An UPDATE without fields would be no SQL: it changes nothing, and succeeds.
-- A row that a trigger leaves out without an error is a refusal, for nothing was done.
-- Deferred constraints are checked at once: what breaks one at the commit would undo every order of the call.
CREATE FUNCTION bell.changebell_change_row(item jsonb, low bigint, OUT outcome text, OUT answer text, OUT event_id text)
LANGUAGE plpgsql AS $$
DECLARE
  mark bigint := pg_catalog.nextval('bell.changebell_drafts');
  which bigint := item->>'id'::text;
  op text := item->>'op'::text;
  relation text := 'bell.' || pg_catalog.quote_ident(item->>'table'::text);
  source text := '/watch/' || (item->>'table'::text);
  -- What stands before the first blank is the source of the row's events.
  query text := pg_catalog.format($sql$SELECT pg_catalog.regexp_replace(bell.changebell_row_json(t.*, %L::regclass::oid, %L), '^\S+ ', '')
    FROM %s AS t WHERE id = $1$sql$, relation, source, relation);
  columns text;
  old text;
  many bigint;
BEGIN
  IF op = 'create' THEN
    outcome := 'done';
  ELSE
    EXECUTE query || CASE op WHEN 'delete' THEN ' FOR UPDATE SKIP LOCKED' ELSE ' FOR NO KEY UPDATE SKIP LOCKED' END
    INTO old USING which;
    IF old IS NULL THEN
      EXECUTE query INTO answer USING which;
      outcome := CASE WHEN answer IS NOT NULL THEN 'locked' WHEN item->'preconditions'::text ? 'ifMatch'::text THEN 'precondition failed' ELSE 'missing' END;
      answer := NULL;
      RETURN;
    END IF;
    outcome := bell.changebell_verdict(item, old);
    answer := old;
    IF outcome <> 'done' THEN RETURN; END IF;
  END IF;
  SELECT pg_catalog.string_agg(pg_catalog.quote_ident(key), ', ') INTO columns FROM pg_catalog.jsonb_object_keys(item->'fields'::text) AS key;
  IF op = 'create' THEN
    EXECUTE pg_catalog.format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM pg_catalog.jsonb_populate_record(NULL::%1$s, $1) RETURNING id',
      relation, columns) INTO which USING item->'fields'::text;
  ELSIF op = 'delete' THEN
    EXECUTE pg_catalog.format('DELETE FROM %s WHERE id = $1', relation) USING which;
  ELSIF columns IS NOT NULL THEN
    EXECUTE pg_catalog.format('UPDATE %1$s SET (%2$s) = (SELECT %2$s FROM pg_catalog.jsonb_populate_record(NULL::%1$s, $2)) WHERE id = $1',
      relation, columns) USING which, item->'fields'::text;
  END IF;
  GET DIAGNOSTICS many = ROW_COUNT;
  IF many <> 1 AND (op <> 'update' OR columns IS NOT NULL) THEN
    RAISE EXCEPTION USING ERRCODE = 'CB409', MESSAGE = 'A rule of the database ignores this change.';
  END IF;
  SET CONSTRAINTS ALL IMMEDIATE;
  SET CONSTRAINTS ALL DEFERRED; -- the next write may need it
  PERFORM FROM bell.changebell_number(low, 500, mark, true);
  EXECUTE query INTO answer USING which;
  event_id := bell.changebell_newest(CASE WHEN answer IS DISTINCT FROM old THEN pg_catalog.concat(source, '/', which) END);
END $$;
