-- WATCH: the changes of another program's tables. The trigger adds a draft, in the form that the row has in JSON
-- whatever the session of the writer is set to. It must never fail, or wait, or run code of others with our rights.

-- The tables that are watched, by the first part of their events' source, which is all that a trigger is told. Where
-- a trigger can't be taken down, its line here goes, and it is idle. `key` and `bytes` are names of columns, as JSON.
CREATE TABLE bell.changebell_watched (
  -- A hash of it is the number of the lock by which each server says that it watches the table: see `holdWatch`.
  source text PRIMARY KEY,
  -- The first part of the events' type: `.created`, `.updated` or `.deleted` follows.
  type text NOT NULL,
  key text NOT NULL,
  bytes text NOT NULL,
  -- What the table was like when that was written: see `changebell_shape`.
  shape text
);

-- SECURITY DEFINER: the writer needs no right on our log. All settings that shape a row's text stand in its head, since
-- the session of the writer may have any. `*=` compares bytes and calls no operator, which could be another role's. A
-- generic plan is made once in each session of a writer, and not anew for his first rows. An error here would undo the
-- writer's own work: so whatever could fail is avoided, or caught.
CREATE FUNCTION bell.changebell_watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET plan_cache_mode = 'force_generic_plan'
SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET IntervalStyle = 'iso_8601' SET lc_monetary = 'C'
SET bytea_output = 'hex' SET extra_float_digits = 1 SET standard_conforming_strings = on AS $$
DECLARE
  watched bell.changebell_watched;
  odd text;
  change text := 'created';
BEGIN
  SELECT * INTO watched FROM bell.changebell_watched WHERE source = TG_ARGV[0];
  IF NOT FOUND OR TG_OP = 'UPDATE' AND NEW *= OLD THEN RETURN NULL; END IF; -- the same to the byte
  odd := bell.changebell_odd_columns(TG_RELID, current_user);
  IF TG_OP = 'TRUNCATE' THEN
    PERFORM bell.changebell_rows_gone(watched, TG_RELID, odd);
    RETURN NULL;
  ELSIF TG_OP = 'DELETE' THEN
    PERFORM bell.changebell_tell(watched, TG_RELID, TG_NAME, 'deleted', OLD, odd);
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' AND bell.changebell_source_of(watched, NEW, odd) IS NOT DISTINCT FROM bell.changebell_source_of(watched, OLD, odd) THEN
    change := 'updated';
  ELSIF TG_OP = 'UPDATE' THEN -- copies are kept by key: the row is gone from one place, and there at another
    PERFORM bell.changebell_tell(watched, TG_RELID, TG_NAME, 'deleted', OLD, odd);
  END IF;
  PERFORM bell.changebell_tell(watched, TG_RELID, TG_NAME, change, NEW, odd);
  RETURN NULL;
END $$;

-- Tells of one row. Mostly as it is at hand, but where other rows or triggers may have been faster, what is at its place
-- now, if anything is: triggers of an application that change it in turn fire before ours, by their names, and are told
-- first; and a key that is checked late (DEFERRABLE) may be another row's already, or still be that of one which is about
-- to leave: so of two rows at one place the younger is told last.
-- With a type that another role made, the comparison might run that role's code.
CREATE FUNCTION bell.changebell_tell(watched bell.changebell_watched, relation oid, trigger_name text, change text, this_row record, odd text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  many bigint;
  is_late boolean := EXISTS (SELECT FROM pg_index WHERE indrelid = relation AND indisprimary AND NOT indimmediate);
BEGIN
  IF is_late THEN PERFORM set_config('changebell.late', 'on', true); END IF;
  IF odd IS NULL AND (is_late
    OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname < trigger_name AND tgtype & 3 = 1 AND NOT tgisinternal)) THEN
    BEGIN
      EXECUTE format('SELECT count(bell.changebell_announce($1, $2, its_row, NULL)) FROM (
          SELECT now.*::%1$s AS its_row FROM ONLY %1$s AS now WHERE %2$s ORDER BY age(now.xmin) DESC) AS here', relation::regclass,
        (SELECT string_agg(format('now.%1$I = ($3).%1$I', name), ' AND ') FROM json_array_elements_text(watched.key::json) AS name))
      INTO many USING watched, CASE change WHEN 'deleted' THEN 'created' ELSE change END, this_row;
    EXCEPTION WHEN OTHERS THEN -- such as row security that holds for us: the writer must not fail for that
    END;
  END IF;
  IF many IS NULL OR many = 0 AND change = 'deleted' THEN PERFORM bell.changebell_announce(watched, change, this_row, odd); END IF;
  IF is_late THEN PERFORM set_config('changebell.late', '', true); END IF;
END $$;

-- Who takes a key that is checked late waits at his commit until whoever has it is gone, and his draft may be the older one.
-- So it gets a new number there: after the check of the key, which stands in the queue before it.
CREATE FUNCTION bell.changebell_come_late() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE bell.changebell_events SET seq = nextval('bell.changebell_drafts') WHERE seq = NEW.seq AND seq < 0;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER changebell_events_late AFTER INSERT ON bell.changebell_events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (current_setting('changebell.late', true) = 'on') EXECUTE FUNCTION bell.changebell_come_late();

-- TRUNCATE fires no trigger for a row, and a table that row security guards against us can't be read without running
-- its policies: then nothing is announced, but nobody fails. A transaction that goes on seeing what it saw at its begin doesn't
-- see what others have committed since, which goes as well: so copies must be loaded again.
-- ONLY: each partition has a TRUNCATE trigger of its own, so its rows would be told twice.
CREATE FUNCTION bell.changebell_rows_gone(watched bell.changebell_watched, relation oid, odd text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('SELECT bell.changebell_announce($1, ''deleted'', gone.*, $2) FROM ONLY %s AS gone', relation::regclass)
  USING watched, odd;
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN PERFORM bell.changebell_tell_reset(watched); END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'Changebell may not read %, so what is gone from it is not announced', relation::regclass;
END $$;

-- A type that another role made may have a cast to json, which would run with our rights: of such a table, what each
-- column is read as; else null. Types of superusers and of our own role are trusted.
-- Numbers of objects below 16384 are PostgreSQL's own. The two looks come first, since nearly all tables end there.
-- A column of such a type is written by `format`, as its type says, and travels as a string. NULL stays null.
CREATE FUNCTION bell.changebell_odd_columns(relation oid, us text) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND atttypid >= 16384;
  IF NOT FOUND THEN RETURN NULL; END IF;
  PERFORM FROM pg_attribute JOIN pg_type AS type ON type.oid = atttypid LEFT JOIN pg_roles AS owner ON owner.oid = typowner
  WHERE attrelid = relation AND attnum > 0 AND atttypid >= 16384 AND rolname IS DISTINCT FROM us AND rolsuper IS NOT TRUE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  RETURN (SELECT string_agg(CASE WHEN atttypid < 16384 THEN format('($1).%1$I', attname)
      ELSE format('CASE WHEN num_nulls(($1).%1$I) = 0 THEN format(''%%s'', ($1).%1$I) END AS %1$I', attname) END, ', ' ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped);
END $$;

-- Adds the draft of one row that was created or deleted. Where its key isn't known, since a column of it has got another
-- name just now, that copies must be loaded again: what would be told of the row under no key could never be put right.
-- `odd`: see `changebell_odd_columns`; null for nearly all tables.
CREATE FUNCTION bell.changebell_announce(watched bell.changebell_watched, change text, this_row record, odd text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO bell.changebell_events (type, source, data, extensions)
  SELECT watched.type || '.' || change, source, data, extensions FROM bell.changebell_row(watched, this_row, odd)
  WHERE source IS NOT NULL;
  IF NOT FOUND THEN PERFORM bell.changebell_tell_reset(watched); END IF;
END $$;

-- Copies have to be loaded again.
CREATE FUNCTION bell.changebell_tell_reset(watched bell.changebell_watched) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO bell.changebell_events (type, source) VALUES (watched.type || '.reset', watched.source || '/*');
END $$;

-- What is told of a row. Of one over 1 MiB only the key; what is much larger is not even put together. On disk a column
-- may be packed, up to 255 bytes into one: only then can a row that looks small be more than PostgreSQL can hold as text,
-- and what fails then must not fail its writer.
-- A row of 64 KiB or less unpacks to 16 MiB at most, so it is made without the price of a subtransaction.
-- `truncated` tells readers that the rest is to be asked for: the key, which is all of `data` then, is enough for that.
CREATE FUNCTION bell.changebell_row(watched bell.changebell_watched, this_row record, odd text,
  OUT source text, OUT data text, OUT extensions text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  size bigint := pg_column_size(this_row);
  this_json json;
BEGIN
  IF size <= 65536 THEN
    this_json := bell.changebell_to_json(this_row, odd);
  ELSIF size <= 16 * 1048576 THEN
    BEGIN
      this_json := bell.changebell_to_json(this_row, odd);
    EXCEPTION WHEN OTHERS THEN -- as if it had not been tried
    END;
  END IF;
  IF octet_length(this_json::text) <= 16 * 1048576 THEN -- a search in more would need four times as much memory
    data := bell.changebell_data(this_json, watched.bytes);
  END IF;
  IF data IS NULL OR octet_length(data) > 1048576 THEN
    this_json := bell.changebell_key_json(watched, this_row, odd);
    data := bell.changebell_data(this_json, watched.bytes);
    extensions := '{"truncated":true}';
  END IF;
  source := bell.changebell_source(this_json, watched.source, watched.key);
END $$;

-- A small row as JSON costs less than a query for its key alone, which must be planned each time.
-- What a copy keeps a row by: an UPDATE compares it before and after.
CREATE FUNCTION bell.changebell_source_of(watched bell.changebell_watched, this_row record, odd text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN bell.changebell_source(CASE WHEN pg_column_size(this_row) < 2000 THEN bell.changebell_to_json(this_row, odd)
    ELSE bell.changebell_key_json(watched, this_row, odd) END, watched.source, watched.key);
END $$;

-- The key's columns alone. Nothing else of the row is read: a large value stays packed on disk.
-- Names become SQL by `format` with %I, so that none of them can be more than a name. One may lead to no column any more.
CREATE FUNCTION bell.changebell_key_json(watched bell.changebell_watched, this_row record, odd text) RETURNS json
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN bell.changebell_to_json(this_row, (
    SELECT string_agg(format(CASE WHEN odd IS NULL THEN '($1).%1$I' ELSE 'format(''%%s'', ($1).%1$I) AS %1$I' END, name), ', ')
    FROM json_array_elements_text(watched.key::json) AS name));
EXCEPTION WHEN undefined_column THEN
  RETURN '{}';
END $$;

-- The same of a row that is read for a snapshot: its source, a space, its data. `of` is its table's part of the source.
-- The settings are those of the trigger: in another time zone the same moment would be other bytes.
CREATE FUNCTION bell.changebell_row_json(this_row record, relation oid, of text) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET row_security = off
SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET IntervalStyle = 'iso_8601' SET lc_monetary = 'C'
SET bytea_output = 'hex' SET extra_float_digits = 1 AS $$
DECLARE
  watched bell.changebell_watched;
BEGIN
  SELECT * INTO watched FROM bell.changebell_watched WHERE source = of;
  RETURN (SELECT coalesce(source, of || '/') || ' ' || data FROM bell.changebell_row(watched, this_row, bell.changebell_odd_columns(relation, current_user)));
END $$;
