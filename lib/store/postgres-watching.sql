-- Which tables are watched, and as what: how our triggers are put up and taken down, and how a server knows that a table is
-- not as it was. What the triggers do stands in `postgres-watch.sql`.

-- Our triggers, and what each tells of. Ours are those that call our function, so a name that another program uses as well
-- is no mistake; a partition's copy of one has a parent, comes and goes with it, and is none of these. Only the owner of a
-- table may drop one.
CREATE VIEW bell.changebell_triggers AS
SELECT trigger.oid, tgname, tgenabled, tgrelid::regclass AS stands_on, tgtype & 1 = 1 AS sees_rows,
  split_part(encode(tgargs, 'escape'), '\000', 1) AS tells, pg_has_role(relowner, 'USAGE') AS may_go
FROM pg_trigger AS trigger JOIN pg_class AS class ON class.oid = tgrelid
WHERE tgparentid = 0 AND tgfoid = 'bell.changebell_watch'::regproc;

-- A crash of the database empties every table that is UNLOGGED, without a word. So it does this one: its line comes back with
-- another stamp, and that is a part of the shape of all such tables.
CREATE UNLOGGED TABLE bell.changebell_uncrashed (
  one integer PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  stamp text NOT NULL DEFAULT gen_random_uuid()::text
);

-- What tells of a table that it is another, or was altered: columns with another name, type or value in rows that nobody
-- has written; another key; triggers of ours that are gone or were out of work for a while; a crash that emptied it, or a part of it. Null
-- where there is no table.
-- An ALTER of a column writes its line in the catalog anew: so the transaction that did says enough, and of a new type
-- that has the old one's name as well. Copies of the trigger are as it is, unless somebody silenced that of a partition.
-- A hash, since a table may have 1,600 columns.
CREATE FUNCTION bell.changebell_shape(relation regclass) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT oid || ' ' || hashtextextended(concat_ws(' ',
    (SELECT string_agg(attnum || ' ' || attribute.xmin::text, ',' ORDER BY attnum) FROM pg_attribute AS attribute
      WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped),
    CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND atttypid >= 16384)
      THEN bell.changebell_type_shapes(relation) END,
    (SELECT concat_ws(' ', indkey, indclass) FROM pg_index WHERE indrelid = relation AND indisprimary),
    (SELECT string_agg(tgname || ' ' || tgenabled::text || trigger.xmin::text, ',' ORDER BY tgname) FROM pg_trigger AS trigger
      WHERE tgrelid = relation AND tgfoid = 'bell.changebell_watch'::regproc),
    CASE WHEN relpersistence = 'u' OR relkind = 'p' AND EXISTS (
      SELECT FROM pg_partition_tree(relation) JOIN pg_class AS part ON part.oid = relid WHERE part.relpersistence = 'u')
      THEN (SELECT stamp FROM bell.changebell_uncrashed) END,
    CASE relkind WHEN 'p' THEN (
      SELECT string_agg(copy.tgrelid || copy.tgenabled::text, ',' ORDER BY copy.tgrelid) FROM bell.changebell_tree(relation) AS tree
        JOIN pg_trigger AS copy ON copy.tgrelid = tree.relation JOIN pg_trigger AS its ON its.oid = copy.tgparentid
      WHERE copy.tgfoid = 'bell.changebell_watch'::regproc AND copy.tgenabled <> its.tgenabled) END), 0)
  FROM pg_class WHERE oid = relation
$$;

-- The same of what is inside its columns, however deep: attributes of composite types, values of enums, in arrays, ranges
-- and domains too. Nearly all tables have nothing of the kind, and are spared the plan for it.
CREATE FUNCTION bell.changebell_type_shapes(relation regclass) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE inside (type) AS (
    SELECT atttypid FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND atttypid >= 16384
    UNION SELECT part FROM inside JOIN pg_type ON oid = type LEFT JOIN pg_range ON rngtypid = oid LEFT JOIN pg_attribute ON attrelid = typrelid
      CROSS JOIN LATERAL (VALUES (typelem), (typbasetype), (rngsubtype), (atttypid)) AS parts (part) WHERE part >= 16384)
  SELECT string_agg(line, ',' ORDER BY line) FROM inside, LATERAL (
    SELECT enum.oid || ' ' || enum.xmin::text FROM pg_enum AS enum WHERE enumtypid = type
    UNION ALL SELECT attribute.xmin::text FROM pg_attribute AS attribute JOIN pg_type ON typrelid = attrelid
    WHERE pg_type.oid = type AND attnum > 0) AS lines (line)
$$;

-- The table that WATCH names: `here`, which has that name on the search path of whoever asks; or, with a dot, in the schema
-- before it. Where both are there, the table whose own name has the dot counts. Views are found too, so that the refusal can
-- say what they are.
-- The names of the key's columns are in the sequence of its index. A type in `keyTypes` is, of a domain, the one under
-- it, since a cast to the domain would run its check, which another role may have written. 4 and 5 are the numbers of >=
-- and > among the operators of any B-tree index.
CREATE FUNCTION bell.changebell_find_table(name text, here regclass)
RETURNS TABLE (relation text, kind text, key json, "keyTypes" json, bytes json, shape text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%I.%I', nspname, relname) AS relation, relkind::text AS kind,
    (SELECT json_agg(attname ORDER BY array_position(indkey::int2[], attnum))
      FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY ((indkey::int2[])[:indnkeyatts - 1])
      WHERE attrelid = class.oid) AS key,
    (SELECT json_agg(json_build_object('name', format_type(base, -1), 'isPlain', base < 16384 OR typtype = 'e',
          'isNested', typtype = 'c' OR base IN ('jsonb'::regtype, 'jsonb[]'::regtype) OR typcategory = 'A' AND base >= 16384,
          'after', operators->>'5', 'from', operators->>'4') ORDER BY array_position(indkey::int2[], attnum))
      FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY ((indkey::int2[])[:indnkeyatts - 1])
        CROSS JOIN LATERAL (WITH RECURSIVE under AS (
          SELECT oid, typbasetype, typtype, typcategory FROM pg_type WHERE oid = atttypid
          UNION ALL SELECT type.oid, type.typbasetype, type.typtype, type.typcategory FROM pg_type AS type JOIN under ON type.oid = under.typbasetype)
          SELECT oid AS base, typtype, typcategory FROM under WHERE typbasetype = 0) AS bare
        CROSS JOIN LATERAL (
          SELECT json_object_agg(amopstrategy, format('OPERATOR(%I.%s)', space.nspname, oprname)) AS operators
          FROM pg_opclass JOIN pg_amop ON amopfamily = opcfamily AND amoplefttype = opcintype AND amoprighttype = opcintype
            JOIN pg_operator AS operator ON operator.oid = amopopr JOIN pg_namespace AS space ON space.oid = oprnamespace
          WHERE pg_opclass.oid = indclass[array_position(indkey::int2[], attnum)]) AS class_of
      WHERE attrelid = class.oid) AS "keyTypes",
    coalesce((SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = class.oid AND atttypid = 'bytea'::regtype AND NOT attisdropped), '[]') AS bytes,
    bell.changebell_shape(class.oid) AS shape
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
    AND nspname <> 'pg_catalog' AND (class.oid = here OR nspname || '.' || relname = name)
  ORDER BY relname = name DESC LIMIT 1
$$;

-- Sees to it that a table is watched as it is now: at the start, and when a look has found another shape. One server
-- at a time, by the lock on the table's line, for which no writer waits. Copies must be loaded again where rows may have
-- changed without a word: where the shape is another than it was, or the table was not watched for a while, and is known to
-- somebody: it was watched before, or events of it are there, or may have been.
-- With another key, nobody may be in the middle of writing by the old one: what he told would come after the reset.
CREATE FUNCTION bell.changebell_renew(of text, its_type text, its_key text, its_bytes text, relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old bell.changebell_watched;
  is_new boolean;
  new_shape text;
BEGIN
  INSERT INTO bell.changebell_uncrashed DEFAULT VALUES ON CONFLICT DO NOTHING;
  INSERT INTO bell.changebell_watched VALUES (of, its_type, its_key, its_bytes) ON CONFLICT DO NOTHING;
  is_new := FOUND;
  SELECT * INTO old FROM bell.changebell_watched WHERE source = of FOR UPDATE;
  IF old.key <> its_key THEN
    BEGIN
      EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
    EXCEPTION WHEN insufficient_privilege THEN -- who only has TRIGGER on it may not
    END;
  END IF;
  IF old.key <> its_key OR old.shape <> bell.changebell_shape(relation) OR (
    (is_new OR NOT EXISTS (SELECT FROM bell.changebell_triggers WHERE stands_on = relation AND sees_rows AND tells = of))
    AND (EXISTS (SELECT FROM bell.changebell_watched WHERE source = 'once ' || of)
      OR EXISTS (SELECT FROM bell.changebell_events WHERE starts_with(type, its_type || '.'))
      OR EXISTS (SELECT FROM bell.changebell_log WHERE pruned > 0)))
  THEN
    PERFORM bell.changebell_tell_reset(old);
  END IF;
  PERFORM bell.changebell_bind(relation, 'changebell_watch', of);
  -- TRUNCATE of a partition fires its own triggers alone, and not those of the table that it is in.
  PERFORM bell.changebell_bind(part, 'changebell_watch_truncate', of)
  FROM (SELECT relation AS part UNION SELECT relid FROM pg_partition_tree(relation)) AS parts;
  -- Its partitions are noted, where none are. What came or went while no server ran is told by the first look; but a table
  -- that was made anew, or restored with its database, has other partitions, whose numbers may be of something else by now.
  IF NOT EXISTS (SELECT FROM bell.changebell_partitions AS noted WHERE source = of AND noted.relation = changebell_renew.relation::oid) THEN
    DELETE FROM bell.changebell_partitions WHERE source = of;
    INSERT INTO bell.changebell_partitions SELECT of, tree.relation FROM bell.changebell_tree(changebell_renew.relation) AS tree;
  END IF;
  new_shape := bell.changebell_shape(relation); -- with the triggers that are there now
  UPDATE bell.changebell_watched AS line SET type = its_type, key = its_key, bytes = its_bytes, shape = new_shape
  WHERE source = of AND (line.type, line.key, line.bytes, line.shape) IS DISTINCT FROM (its_type, its_key, its_bytes, new_shape);
END $$;

-- Puts up one trigger, if it isn't there as it should be. One that is right is left alone: to make it anew would lock the
-- table, and an application would wait for that. It is known by what it tells and when it fires. Its name is free: a
-- table may be watched by two names of it, and a partition beside the table that it is in. A partitioned table's copies have
-- its name, so that is one of its own: else ATTACH would fail for the application, where the new partition is watched itself.
-- ALWAYS: also for rows that come by replication. Only the owner of a table may say that.
CREATE FUNCTION bell.changebell_bind(relation regclass, trigger_name text, of text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_owner boolean := (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = relation);
  is_partitioned boolean := (SELECT relkind = 'p' FROM pg_class WHERE oid = relation);
  is_for_rows boolean := trigger_name = 'changebell_watch';
  is_bound boolean := false;
  old record;
BEGIN
  -- There may be two: an older version of this program, started once more, knows its own by its name alone.
  FOR old IN
    SELECT tgname, NOT is_owner OR tgenabled = 'A' AND (NOT is_partitioned OR tgname <> 'changebell_watch') AND NOT EXISTS (
      SELECT FROM pg_trigger AS copy WHERE copy.tgparentid = ours.oid AND copy.tgenabled <> 'A') AS is_right
    FROM bell.changebell_triggers AS ours WHERE stands_on = relation AND sees_rows = is_for_rows AND tells = of
  LOOP
    IF old.is_right AND NOT is_bound THEN is_bound := true;
    ELSIF is_owner THEN
      -- DROP would lock the partitions before their table, and who writes locks them after it: one of both would be ended.
      EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
      EXECUTE format('DROP TRIGGER %I ON %s', old.tgname, relation);
    END IF;
  END LOOP;
  IF is_bound THEN RETURN; END IF;
  IF is_partitioned OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = trigger_name) THEN
    trigger_name := trigger_name || '_' || left(md5(of), 8);
  END IF;
  EXECUTE format(CASE WHEN is_for_rows THEN 'CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW'
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
    SELECT tgname, stands_on FROM bell.changebell_triggers
    WHERE may_go AND tells = of AND stands_on IS DISTINCT FROM relation
      AND stands_on NOT IN (SELECT relid FROM pg_partition_tree(relation))
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', old.tgname, old.stands_on);
  END LOOP;
END $$;

-- Takes down the triggers of all tables but `wanted`. Where another server watches a table, its shared lock is in the way
-- of ours, and they stay. The line in `changebell_watched` goes in any case, and without it a trigger is idle. Another
-- says that the table was watched once: a snapshot leaves no trace in the log, and its reader may come back.
-- Returns what would drop each that is left so.
CREATE FUNCTION bell.changebell_unwatch(wanted text[]) RETURNS SETOF text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old bell.changebell_triggers;
  command text;
BEGIN
  FOR old IN SELECT * FROM bell.changebell_triggers WHERE tells <> ALL (wanted) LOOP
    CONTINUE WHEN NOT pg_try_advisory_xact_lock(1130918255, hashtext(old.tells));
    INSERT INTO bell.changebell_watched SELECT 'once ' || source, type, key, bytes FROM bell.changebell_watched
    WHERE source = old.tells ON CONFLICT DO NOTHING;
    DELETE FROM bell.changebell_watched WHERE source = old.tells;
    DELETE FROM bell.changebell_partitions WHERE source = old.tells;
    command := format('DROP TRIGGER IF EXISTS %I ON %s;', old.tgname, old.stands_on);
    IF old.may_go THEN EXECUTE command; ELSE RETURN NEXT command; END IF;
  END LOOP;
END $$;
