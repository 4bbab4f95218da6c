-- WATCH: the changes of another program's tables. The trigger adds a draft, in the form that the row has in JSON
-- whatever the session of the writer is set to. It must never fail, or wait, or run code of others with our rights.

-- The tables that are watched, by the first part of their events' source, which is all that a trigger is told. Where
-- a trigger can't be taken down, its line here goes, and it is idle. `key` and `bytes` are names of columns, as JSON.
CREATE TABLE bell.changebell_watched (
  source text PRIMARY KEY,
  type text NOT NULL,
  key text NOT NULL,
  bytes text NOT NULL
);

-- SECURITY DEFINER: the writer needs no right on our log. All settings that shape a row's text stand in its head, since
-- the session of the writer may have any. `*=` compares bytes and calls no operator, which could be another role's.
-- A generic plan is made once in each session of a writer, and not anew for his first rows.
CREATE FUNCTION bell.changebell_watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET plan_cache_mode = 'force_generic_plan'
SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET IntervalStyle = 'iso_8601' SET lc_monetary = 'C'
SET bytea_output = 'hex' SET extra_float_digits = 1 AS $$
DECLARE
  watched bell.changebell_watched;
  odd text;
  now record; -- source, data, extensions
  change text := 'created';
BEGIN
  SELECT * INTO watched FROM bell.changebell_watched WHERE source = TG_ARGV[0];
  IF NOT FOUND OR TG_OP = 'UPDATE' AND NEW *= OLD THEN RETURN NULL; END IF; -- the same to the byte
  odd := bell.changebell_odd_columns(TG_RELID, current_user);
  IF TG_OP = 'TRUNCATE' THEN
    PERFORM bell.changebell_rows_gone(watched, TG_RELID, odd);
    RETURN NULL;
  ELSIF TG_OP = 'DELETE' THEN
    PERFORM bell.changebell_announce(watched, 'deleted', OLD, odd);
    RETURN NULL;
  END IF;
  now := bell.changebell_row(watched, NEW, odd);
  IF TG_OP = 'UPDATE' AND bell.changebell_source_of(watched, OLD, odd) = now.source THEN
    change := 'updated';
  ELSIF TG_OP = 'UPDATE' THEN -- copies are kept by key: the row is gone from one place, and there at another
    PERFORM bell.changebell_announce(watched, 'deleted', OLD, odd);
  END IF;
  INSERT INTO bell.changebell_events (type, source, data, extensions)
  VALUES (watched.type || '.' || change, now.source, now.data, now.extensions);
  RETURN NULL;
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

-- Adds the draft of one row that was created or deleted.
CREATE FUNCTION bell.changebell_announce(watched bell.changebell_watched, change text, this_row record, odd text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO bell.changebell_events (type, source, data, extensions)
  SELECT watched.type || '.' || change, source, data, extensions FROM bell.changebell_row(watched, this_row, odd);
END $$;

-- What is told of a row. Of one over 1 MiB only the key; what is much larger is not even put together. On disk a column
-- may be packed, up to 255 bytes into one: only then can a row that looks small be more than PostgreSQL can hold as text,
-- and what fails then must not fail its writer.
-- A row of 64 KiB or less unpacks to 16 MiB at most, so it is made without the price of a subtransaction.
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
CREATE FUNCTION bell.changebell_source_of(watched bell.changebell_watched, this_row record, odd text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN bell.changebell_source(CASE WHEN pg_column_size(this_row) < 2000 THEN bell.changebell_to_json(this_row, odd)
    ELSE bell.changebell_key_json(watched, this_row, odd) END, watched.source, watched.key);
END $$;

-- The key's columns alone. Nothing else of the row is read: a large value stays packed on disk.
CREATE FUNCTION bell.changebell_key_json(watched bell.changebell_watched, this_row record, odd text) RETURNS json
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN bell.changebell_to_json(this_row, (
    SELECT string_agg(format(CASE WHEN odd IS NULL THEN '($1).%1$I' ELSE 'format(''%%s'', ($1).%1$I) AS %1$I' END, name), ', ')
    FROM json_array_elements_text(watched.key::json) AS name));
END $$;

-- The same of a row that is read for a snapshot: its source, a space, its data. `of` is its table's part of the source.
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

-- The row as JSON; with `columns`, what those expressions of it ($1) give.
CREATE FUNCTION bell.changebell_to_json(this_row record, columns text) RETURNS json LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_json json;
BEGIN
  IF columns IS NULL THEN RETURN to_json(this_row); END IF;
  EXECUTE format('SELECT row_to_json(safe) FROM (SELECT %s) AS safe', columns) INTO this_json USING this_row;
  RETURN this_json;
END $$;

-- Columns of type json may hold strings that no function of PostgreSQL takes apart. (Without pairs of backslashes:
-- they are text, and may stand before a u.)
CREATE FUNCTION bell.changebell_is_odd(plain text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT pg_catalog.strpos(plain, '\u') > 0 AND pg_catalog.replace(plain, '\\', '')
    OPERATOR(pg_catalog.~*) '\\u0000|\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]'
$$;

-- Where there are neither bytes nor long digits, a row goes as it is: to take it apart costs many times as much. A
-- number of 15 digits or fewer is the same in JavaScript.
CREATE FUNCTION bell.changebell_data(this_row json, bytes text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  plain text := this_row::text;
BEGIN
  IF bytes = '[]' AND plain !~ '[-+.0-9Ee]{16}' OR bell.changebell_is_odd(plain) THEN RETURN plain; END IF;
  RETURN (SELECT '{' || string_agg(to_json(key) || ':' || CASE
      WHEN bytes::jsonb ? key OR json_typeof(value) = 'number' AND length(value::text) > 15
      THEN bell.changebell_value(value) ELSE value::text END, ',') || '}'
    FROM json_each(this_row));
END $$;

-- Bytes travel in base64; and what JavaScript would not read as the same number travels as a string. A number passes
-- that comes back the same through a double. Above 2^53 - 1 whole numbers may not, and those of more than 40 characters
-- aren't tried.
CREATE FUNCTION bell.changebell_value(value json) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  plain text := value::text;
BEGIN
  IF json_typeof(value) = 'string' AND value #>> '{}' ~ '^\\x[0-9a-f]*$' AND length(value #>> '{}') % 2 = 0 THEN
    RETURN to_json(translate(encode((value #>> '{}')::bytea, 'base64'), E'\n', ''));
  ELSIF json_typeof(value) <> 'number' THEN -- the column may have got another type
    RETURN plain;
  ELSIF length(plain) > 40 OR (plain ~ '^-?[0-9]+$' AND abs(plain::numeric) > 9007199254740991) THEN
    RETURN to_json(plain);
  END IF;
  RETURN CASE WHEN plain::float8::text::numeric = plain::numeric THEN plain ELSE to_json(plain)::text END;
END $$;

-- The key as a source ends with it, cut where it is too long.
-- What PostgreSQL can't take apart becomes a question mark; and no cut goes through an escape.
CREATE FUNCTION bell.changebell_source(this_row json, source text, key text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  row_key text;
BEGIN
  IF bell.changebell_is_odd(this_row::text) THEN
    this_row := regexp_replace(this_row::text, '((?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f]..)', '\1\\u003f', 'gi');
  END IF;
  SELECT string_agg(coalesce(bell.changebell_escape(this_row->>part), ''), ',') INTO row_key
  FROM json_array_elements_text(key::json) AS part;
  RETURN regexp_replace(left(source || '/' || row_key, 200), '%.?$', '');
END $$;

-- A part of the key, percent-encoded (RFC 3986, section 2.1).
CREATE FUNCTION bell.changebell_escape(part text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF part COLLATE "C" ~ '^[A-Za-z0-9._~-]*$' THEN RETURN part; END IF;
  RETURN (
    SELECT string_agg(CASE WHEN c COLLATE "C" ~ '[A-Za-z0-9._~-]' THEN c
      ELSE regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END, '' ORDER BY place)
    FROM regexp_split_to_table(left(part, 200), '') WITH ORDINALITY AS characters(c, place));
END $$;
