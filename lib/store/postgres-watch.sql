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
-- first; and a key that is checked late (DEFERRABLE) may be another row's already.
-- With a type that another role made, the comparison might run that role's code.
CREATE FUNCTION bell.changebell_tell(watched bell.changebell_watched, relation oid, trigger_name text, change text, this_row record, odd text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  many bigint;
BEGIN
  IF odd IS NULL AND (EXISTS (SELECT FROM pg_index WHERE indrelid = relation AND indisprimary AND NOT indimmediate)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname < trigger_name AND tgtype & 3 = 1 AND NOT tgisinternal)) THEN
    BEGIN
      EXECUTE format('SELECT count(bell.changebell_announce($1, $2, now, NULL)) FROM ONLY %s AS now WHERE %s', relation::regclass,
        (SELECT string_agg(format('now.%1$I = ($3).%1$I', name), ' AND ') FROM json_array_elements_text(watched.key::json) AS name))
      INTO many USING watched, CASE change WHEN 'deleted' THEN 'created' ELSE change END, this_row;
    EXCEPTION WHEN OTHERS THEN -- such as row security that holds for us: the writer must not fail for that
    END;
  END IF;
  IF many IS NULL OR many = 0 AND change = 'deleted' THEN PERFORM bell.changebell_announce(watched, change, this_row, odd); END IF;
END $$;

-- TRUNCATE fires no trigger for a row, and a table that row security guards against us can't be read without running
-- its policies: then nothing is announced, but nobody fails.
-- ONLY: each partition has a TRUNCATE trigger of its own, so its rows would be told twice.
CREATE FUNCTION bell.changebell_rows_gone(watched bell.changebell_watched, relation oid, odd text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('SELECT bell.changebell_announce($1, ''deleted'', gone, $2) FROM ONLY %s AS gone', relation::regclass)
  USING watched, odd;
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
  RETURN (SELECT source || ' ' || data FROM bell.changebell_row(watched, this_row, bell.changebell_odd_columns(relation, current_user)));
END $$;

-- What tells of a table that it is another, or was altered: columns with another name, type or value in rows that nobody
-- has written; another key; triggers of ours that are gone or were out of work for a while. Null where there is no table.
-- An ALTER of a column writes its line in the catalog anew: so the transaction that did says enough, and of a new type
-- that has the old one's name as well. Copies of the trigger are as it is, unless somebody silenced that of a partition.
-- A hash, since a table may have 1,600 columns.
CREATE FUNCTION bell.changebell_shape(relation regclass) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT oid || ' ' || hashtextextended(concat_ws(' ',
    (SELECT string_agg(attnum || ' ' || attribute.xmin::text, ',' ORDER BY attnum) FROM pg_attribute AS attribute
      WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped),
    (SELECT string_agg(enum.oid || ' ' || enum.xmin::text, ',' ORDER BY enum.oid) FROM pg_attribute
      JOIN pg_enum AS enum ON enumtypid = atttypid WHERE attrelid = relation AND atttypid >= 16384),
    (SELECT concat_ws(' ', indkey, indclass) FROM pg_index WHERE indrelid = relation AND indisprimary),
    (SELECT string_agg(tgname || ' ' || tgenabled::text || trigger.xmin::text, ',' ORDER BY tgname) FROM pg_trigger AS trigger
      WHERE tgrelid = relation AND tgfoid = 'bell.changebell_watch'::regproc),
    CASE relkind WHEN 'p' THEN (
      SELECT string_agg(copy.tgrelid || copy.tgenabled::text, ',' ORDER BY copy.tgrelid) FROM bell.changebell_tree(relation) AS tree
        JOIN pg_trigger AS copy ON copy.tgrelid = tree.relation JOIN pg_trigger AS its ON its.oid = copy.tgparentid
      WHERE copy.tgfoid = 'bell.changebell_watch'::regproc AND copy.tgenabled <> its.tgenabled) END), 0)
  FROM pg_class WHERE oid = relation
$$;

-- Sees to it that a table is watched as it is now: at the start, and when a look has found another shape. One server
-- at a time, by the lock on the table's line, for which no writer waits. Copies must be loaded again where rows may have
-- changed without a word: where the shape is another than it was, or the trigger is not there though events of the table are.
-- With another key, nobody may be in the middle of writing by the old one: what he told would come after the reset.
CREATE FUNCTION bell.changebell_renew(of text, its_type text, its_key text, its_bytes text, relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old bell.changebell_watched;
  new_shape text;
BEGIN
  INSERT INTO bell.changebell_watched VALUES (of, its_type, its_key, its_bytes) ON CONFLICT DO NOTHING;
  SELECT * INTO old FROM bell.changebell_watched WHERE source = of FOR UPDATE;
  IF old.key <> its_key THEN
    BEGIN
      EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
    EXCEPTION WHEN insufficient_privilege THEN -- who only has TRIGGER on it may not
    END;
  END IF;
  IF old.key <> its_key OR old.shape <> bell.changebell_shape(relation) OR (
    NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'changebell_watch')
    AND EXISTS (SELECT FROM bell.changebell_events WHERE starts_with(type, its_type || '.')))
  THEN
    PERFORM bell.changebell_tell_reset(old);
  END IF;
  PERFORM bell.changebell_bind(relation, 'changebell_watch', of);
  -- TRUNCATE of a partition fires its own triggers alone, and not those of the table that it is in.
  PERFORM bell.changebell_bind(part, 'changebell_watch_truncate', of)
  FROM (SELECT relation AS part UNION SELECT relid FROM pg_partition_tree(relation)) AS parts;
  new_shape := bell.changebell_shape(relation); -- with the triggers that are there now
  UPDATE bell.changebell_watched AS line SET type = its_type, key = its_key, bytes = its_bytes, shape = new_shape
  WHERE source = of AND (line.type, line.key, line.bytes, line.shape) IS DISTINCT FROM (its_type, its_key, its_bytes, new_shape);
END $$;

-- Puts up one trigger, if it isn't there as it should be. One that is right is left alone: to make it anew would lock the
-- table, and an application would wait for that. It is known by its name and its place, whatever it says: the table may
-- be watched under another source than before.
-- ALWAYS: also for rows that come by replication. Only the owner of a table may say that.
CREATE FUNCTION bell.changebell_bind(relation regclass, trigger_name text, of text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_owner boolean := (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = relation);
  is_right boolean;
BEGIN
  SELECT split_part(encode(tgargs, 'escape'), '\000', 1) = of AND (NOT is_owner OR tgenabled = 'A' AND NOT EXISTS (
      SELECT FROM pg_trigger AS copy WHERE copy.tgparentid = trigger.oid AND copy.tgenabled <> 'A'))
  INTO is_right FROM pg_trigger AS trigger
  WHERE tgrelid = relation AND tgname = trigger_name AND tgparentid = 0 AND tgfoid = 'bell.changebell_watch'::regproc;
  IF is_right THEN RETURN; END IF;
  IF FOUND THEN EXECUTE format('DROP TRIGGER %I ON %s', trigger_name, relation); END IF;
  EXECUTE format(CASE trigger_name
    WHEN 'changebell_watch' THEN 'CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW'
    ELSE 'CREATE TRIGGER %I BEFORE TRUNCATE ON %s FOR EACH STATEMENT' END || ' EXECUTE FUNCTION bell.changebell_watch(%L)',
    trigger_name, relation, of);
  IF is_owner THEN EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, trigger_name); END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE insufficient_privilege USING MESSAGE =
    format('%s: its owner must GRANT SELECT, TRIGGER ON %s TO %I', SQLERRM, relation, current_user);
END $$;

-- Takes down what tells in the name of a table and stands on another: one that had its name and was put aside, or was a
-- partition. Copies of the trigger for rows go with their partition by themselves.
CREATE FUNCTION bell.changebell_unbind_others(of text, relation regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old record;
BEGIN
  FOR old IN
    SELECT tgname, tgrelid::regclass AS aside FROM pg_trigger JOIN pg_class AS class ON class.oid = tgrelid
    WHERE tgparentid = 0 AND tgfoid = 'bell.changebell_watch'::regproc AND pg_has_role(relowner, 'USAGE')
      AND split_part(encode(tgargs, 'escape'), '\000', 1) = of AND tgrelid IS DISTINCT FROM relation::oid
      AND tgrelid NOT IN (SELECT relid FROM pg_partition_tree(relation))
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', old.tgname, old.aside);
  END LOOP;
END $$;

-- Takes down the triggers of all tables but `wanted`. Where another server watches a table, its shared lock is in the way
-- of ours, and they stay. Ours are those that call our function, so a name that another program uses as well is no
-- mistake; a partition's copy has a parent, and goes with it.
-- Only an owner may drop one. The line in `changebell_watched` goes in any case, and without it a trigger is idle.
-- Returns the tables on which one is left so.
CREATE FUNCTION bell.changebell_unwatch(wanted text[]) RETURNS SETOF text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old record;
BEGIN
  FOR old IN
    SELECT tgname, tgrelid::regclass::text AS relation, split_part(encode(tgargs, 'escape'), '\000', 1) AS of,
      pg_has_role(relowner, 'USAGE') AS is_owner
    FROM pg_trigger JOIN pg_class AS class ON class.oid = tgrelid
    WHERE tgparentid = 0 AND tgfoid = 'bell.changebell_watch'::regproc
  LOOP
    CONTINUE WHEN old.of = ANY (wanted);
    CONTINUE WHEN NOT pg_try_advisory_xact_lock(1130918255, hashtext(old.of));
    DELETE FROM bell.changebell_watched WHERE source = old.of;
    DELETE FROM bell.changebell_partitions WHERE source = old.of;
    IF old.is_owner THEN
      EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', old.tgname, old.relation);
    ELSE
      RETURN NEXT old.relation;
    END IF;
  END LOOP;
END $$;
