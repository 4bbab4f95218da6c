-- How a row of a watched table becomes JSON, the same to the byte in its events and in snapshots. PostgreSQL's own JSON
-- is nearly that: what JavaScript would read as another number travels as a string, and bytes in base64.

-- The row as JSON; with `columns`, what those expressions of it ($1) give.
-- They are read from the row at hand, and nothing is asked of the table, so a row that is gone can still be told.
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
-- Odd are U+0000, which text can't hold, and half of a surrogate pair, which UTF-8 can't.
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

-- Bytes travel in base64; and what JavaScript would not read as the same number travels as a string.
-- A number passes that comes back the same through a double. Above 2^53 - 1 whole numbers may not, and those of more
-- than 40 characters aren't tried.
-- Bytes come as \x and hexadecimal digits, two for each byte: `bytea_output` of whoever calls is set so.
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

-- The key as a source ends with it, cut where even 8192 characters are too few: which takes a key that its index can pack,
-- since that takes some 2,700 bytes. Null where a part of it isn't there.
-- What PostgreSQL can't take apart becomes a question mark; and no cut goes through an escape.
CREATE FUNCTION bell.changebell_source(this_row json, source text, key text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  row_key text;
BEGIN
  IF bell.changebell_is_odd(this_row::text) THEN
    this_row := regexp_replace(this_row::text, '((?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f]..)', '\1\\u003f', 'gi');
  END IF;
  SELECT string_agg(bell.changebell_escape(this_row->>part), ',') INTO row_key
  FROM json_array_elements_text(key::json) AS part HAVING bool_and(this_row->>part IS NOT NULL);
  RETURN regexp_replace(left(source || '/' || row_key, 8192), '%.?$', '');
END $$;

-- A part of the key, percent-encoded (RFC 3986, section 2.1).
-- Letters are those of ASCII under "C", whatever the collation of the database. No more characters are looked at than a
-- source has room for.
CREATE FUNCTION bell.changebell_escape(part text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF part COLLATE "C" ~ '^[A-Za-z0-9._~-]*$' THEN RETURN part; END IF;
  RETURN (
    SELECT string_agg(CASE WHEN c COLLATE "C" ~ '[A-Za-z0-9._~-]' THEN c
      ELSE regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END, '' ORDER BY place)
    FROM regexp_split_to_table(left(part, 8192), '') WITH ORDINALITY AS characters(c, place));
END $$;
