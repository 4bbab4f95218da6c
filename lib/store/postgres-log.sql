-- The customers, the event log, and the triggers that tie them: a change and its event are one
-- transaction, whoever makes it. Written for PostgreSQL 13 and later. Functions that triggers call run with
-- the rights of their owner and find our tables by the path that is set here, whoever writes and from where.

-- Random, and given to one event alone: a cursor is only honoured where the event at its place has its stamp.
CREATE FUNCTION changebell_stamp() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT right(gen_random_uuid()::text, 8)
$$;

-- One row: the schema's version, and the newest event that is no longer kept. Its stamp stays, so that a cursor
-- at that place, and at the place before the first event, proves itself like any other.
CREATE TABLE changebell_log (
  one integer PRIMARY KEY CHECK (one = 1),
  version integer NOT NULL,
  pruned bigint NOT NULL DEFAULT 0,
  pruned_stamp text NOT NULL DEFAULT changebell_stamp()
);
INSERT INTO changebell_log (one, version) VALUES (1, 2);

-- The event log. Readers pass a seq once, so an event must not get its seq before its transaction commits:
-- until then it is a draft, with a number below zero that no one else ever sees.
CREATE SEQUENCE changebell_drafts MINVALUE -9007199254740991 MAXVALUE -1 START -9007199254740991;
CREATE SEQUENCE changebell_seq MAXVALUE 9007199254740991;

CREATE FUNCTION changebell_time(moment timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

CREATE TABLE changebell_events (
  seq bigint PRIMARY KEY,
  stamp text NOT NULL DEFAULT changebell_stamp() CHECK (stamp COLLATE "C" ~ '^[0-9a-f]{6,64}$'),
  type text NOT NULL DEFAULT 'notification' CHECK (
    length(type) <= 100 AND type COLLATE "C" ~ '^[a-z][a-z0-9._-]*$' AND type NOT LIKE 'stream.%' -- {0,99} is slow
  ),
  source text NOT NULL DEFAULT '/api/events' CHECK (
    length(source) <= 200 AND source COLLATE "C" ~ '^[!-~]+$'
  ),
  time text NOT NULL DEFAULT changebell_time(clock_timestamp()) CHECK (
    time COLLATE "C" ~ '^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}Z$'
  ),
  data text NOT NULL DEFAULT 'null' CHECK (data::json IS NOT NULL), -- text: jsonb can't hold all of JSON's strings
  extensions text CHECK (json_typeof(extensions::json) = 'object' AND extensions LIKE '{"%}')
);

CREATE VIEW changebell_position AS
SELECT coalesce(newest.seq, pruned) AS head, coalesce(newest.stamp, pruned_stamp) AS head_stamp, pruned, pruned_stamp
FROM changebell_log LEFT JOIN (
  SELECT seq, stamp FROM changebell_events WHERE seq > 0 ORDER BY seq DESC LIMIT 1) AS newest ON true;

-- Held until the commit by the one transaction that gives out seqs, so that they follow the order of commits.
CREATE FUNCTION changebell_lock() RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock('changebell_log'::regclass::oid::bigint)
$$;

-- The last of so many that follow the head.
CREATE FUNCTION changebell_take_seqs(many bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  PERFORM changebell_lock();
  PERFORM pg_notify('changebell', ''); -- only wakes: the log is what readers read
  IF current_setting('synchronous_commit') = 'off' THEN -- what was announced must survive a power cut
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  IF current_setting('transaction_isolation') = 'read committed' THEN -- a rollback leaves no gap
    RETURN setval('changebell_seq', head + many) FROM changebell_position;
  END IF;
  -- A snapshot older than the lock can't see the head, a sequence can.
  RETURN setval('changebell_seq', nextval('changebell_seq') + many - 1);
END $$;

-- Drafts get their seq at the commit. Were it any earlier, a transaction left open would hold up all others.
CREATE FUNCTION changebell_begin_event() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF NEW.seq IS NOT NULL THEN
    RAISE EXCEPTION 'changebell_events: leave seq out, new events go to the end of the log';
  END IF;
  NEW.seq := CASE current_setting('changebell.numbering', true) WHEN 'at once' THEN changebell_take_seqs(1)
    ELSE nextval('changebell_drafts') END;
  RETURN NEW;
END $$;
CREATE TRIGGER changebell_begin_event BEFORE INSERT ON changebell_events
FOR EACH ROW EXECUTE FUNCTION changebell_begin_event();

-- The first of a transaction's drafts numbers them all: nobody else's can be seen here.
CREATE FUNCTION changebell_commit_event() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  last_seq bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM changebell_events WHERE seq = NEW.seq) THEN RETURN NULL; END IF;
  SELECT changebell_take_seqs(count(*)) INTO last_seq FROM changebell_events WHERE seq BETWEEN NEW.seq AND -1;
  UPDATE changebell_events AS event SET seq = last_seq - draft.later
  FROM (SELECT seq, row_number() OVER (ORDER BY seq DESC) - 1 AS later
    FROM changebell_events WHERE seq BETWEEN NEW.seq AND -1) AS draft
  WHERE event.seq = draft.seq;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER changebell_commit_event AFTER INSERT ON changebell_events
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.seq < 0) EXECUTE FUNCTION changebell_commit_event();

CREATE FUNCTION changebell_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0];
END $$;
CREATE TRIGGER changebell_events_immutable BEFORE UPDATE ON changebell_events
FOR EACH ROW WHEN (OLD.seq > 0 OR pg_trigger_depth() = 0)
EXECUTE FUNCTION changebell_refuse('changebell_events: an event is a fact and cannot be changed');

-- Whoever deletes events: a cursor before them can't be continued any more.
CREATE FUNCTION changebell_events_pruned() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    UPDATE changebell_log SET pruned = head, pruned_stamp = head_stamp FROM changebell_position;
  ELSE
    UPDATE changebell_log SET pruned = gone.seq, pruned_stamp = gone.stamp FROM gone
    WHERE gone.seq = (SELECT max(seq) FROM gone) AND changebell_log.pruned < gone.seq;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER changebell_events_pruned AFTER DELETE ON changebell_events
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION changebell_events_pruned();
CREATE TRIGGER changebell_events_truncated BEFORE TRUNCATE ON changebell_events
FOR EACH STATEMENT EXECUTE FUNCTION changebell_events_pruned();

-- Answers to POSTs that carried an Idempotency-Key, and the id of the event that each of them wrote.
CREATE TABLE changebell_idempotency (
  key text PRIMARY KEY,
  request text NOT NULL,
  answer text NOT NULL,
  event_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX changebell_idempotency_age ON changebell_idempotency (created_at);

-- All writes of a turn of a server: one round trip, one transaction, one notification. It waits for no row that
-- another transaction holds, since that may in turn wait for our lock: such a write is 'locked', to be tried again.
CREATE FUNCTION changebell_write(writes jsonb, retention bigint, announced bigint)
RETURNS TABLE (outcome text, answer text, event_id text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM changebell_lock(), set_config('changebell.numbering', 'at once', true);
  RETURN QUERY SELECT done.* FROM jsonb_array_elements(writes) AS write, changebell_write_one(write) AS done;
  PERFORM changebell_prune(retention, announced, 2 * jsonb_array_length(writes) + 500);
END $$;

CREATE FUNCTION changebell_write_one(write jsonb, OUT outcome text, OUT answer text, OUT event_id text)
LANGUAGE plpgsql AS $$
DECLARE
  earlier changebell_idempotency;
BEGIN
  SELECT * INTO earlier FROM changebell_idempotency WHERE key = write->>'key';
  IF FOUND THEN
    outcome := CASE WHEN earlier.request = write->>'request' THEN 'replayed' ELSE 'key taken' END;
    answer := earlier.answer;
    event_id := earlier.event_id;
    RETURN;
  END IF;
  outcome := 'done';
  CASE write->>'op'
    WHEN 'publish' THEN
      WITH stored AS (
        INSERT INTO changebell_events AS event (type, source, data, extensions)
        SELECT item->>'type', item->>'source', item->>'data', item->>'extensions'
        FROM jsonb_array_elements(write->'events') WITH ORDINALITY AS list(item, place) ORDER BY place
        RETURNING to_json(event) AS row, seq)
      SELECT json_agg(row ORDER BY seq) INTO answer FROM stored;
    WHEN 'create' THEN
      INSERT INTO customers (name, email) VALUES (write->>'name', write->>'email')
      RETURNING changebell_json(customers) INTO answer;
    WHEN 'update', 'delete' THEN
      SELECT * INTO outcome, answer FROM changebell_change_customer(write);
  END CASE;
  SELECT head_stamp || '-' || head INTO event_id FROM changebell_position;
  IF outcome = 'done' AND write ? 'key' THEN
    INSERT INTO changebell_idempotency VALUES (write->>'key', write->>'request', answer, event_id);
    DELETE FROM changebell_idempotency WHERE key IN ( -- two at a time: old keys go faster than new ones come
      SELECT key FROM changebell_idempotency WHERE created_at < now() - interval '48 hours'
      ORDER BY created_at LIMIT 2);
  END IF;
END $$;

CREATE FUNCTION changebell_change_customer(write jsonb, OUT outcome text, OUT answer text) LANGUAGE plpgsql AS $$
DECLARE
  which bigint := write->>'id';
BEGIN
  IF write->>'op' = 'delete' THEN
    SELECT changebell_json(customers) INTO answer FROM customers WHERE id = which FOR UPDATE SKIP LOCKED;
  ELSE -- rows that refer to this one may be in the making
    SELECT changebell_json(customers) INTO answer FROM customers WHERE id = which FOR NO KEY UPDATE SKIP LOCKED;
  END IF;
  IF answer IS NULL THEN
    outcome := CASE WHEN EXISTS (SELECT FROM customers WHERE id = which) THEN 'locked'
      WHEN write ? 'ifMatch' THEN 'precondition failed' ELSE 'missing' END;
  ELSIF NOT write->'ifMatch' ?| ARRAY['*', changebell_etag(answer)] OR write->'ifNoneMatch' ?| ARRAY['*', changebell_etag(answer)] THEN
    outcome := 'precondition failed';
  ELSIF write->>'op' = 'delete' THEN
    DELETE FROM customers WHERE id = which;
    outcome := 'done';
  ELSE
    UPDATE customers SET name = coalesce(write->>'name', name),
      email = CASE WHEN write ? 'email' THEN write->>'email' ELSE email END
    WHERE id = which RETURNING changebell_json(customers) INTO answer;
    outcome := 'done';
  END IF;
END $$;

-- The same entity tag that the HTTP API computes.
CREATE FUNCTION changebell_etag(json text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT concat('"', left(encode(sha256(convert_to(json, 'UTF8')), 'hex'), 32), '"')
$$;

-- Deletes the oldest events in small steps, with the writes that push them out.
CREATE FUNCTION changebell_prune(retention bigint, announced bigint, step bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  place changebell_position;
BEGIN
  SELECT * INTO place FROM changebell_position;
  IF place.head - place.pruned <= retention THEN RETURN; END IF;
  PERFORM FROM changebell_log FOR UPDATE SKIP LOCKED; -- another program is deleting events: never wait for it
  IF FOUND THEN
    DELETE FROM changebell_events
    WHERE seq > 0 AND seq <= least(place.head - retention, place.pruned + step, announced);
  END IF;
END $$;

-- WATCH: the changes of another program's table. Its columns are asked of the row itself, so that they may be
-- altered at any time. Arguments: the events' type, the first part of their source, the columns of the key, and
-- the columns that hold bytes.
CREATE FUNCTION changebell_watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET TimeZone = 'UTC' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1
SET plan_cache_mode = 'force_generic_plan' AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE format('SELECT changebell_announce($1, ''deleted'', to_json(gone)) FROM %s AS gone', TG_RELID::regclass)
    USING TG_ARGV;
  ELSIF TG_OP = 'INSERT' THEN
    PERFORM changebell_announce(TG_ARGV, 'created', to_json(NEW));
  ELSIF TG_OP = 'DELETE' THEN
    PERFORM changebell_announce(TG_ARGV, 'deleted', to_json(OLD));
  ELSIF NOT NEW *= OLD THEN -- the same to the byte; = is not there for every type
    PERFORM changebell_announce(TG_ARGV, 'updated', to_json(NEW));
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION changebell_announce(watched text[], change text, this_row json) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  plain text := this_row::text;
  -- Columns of type json may hold strings that no function of PostgreSQL takes apart: such a row goes as it is.
  -- (Without pairs of backslashes: they are text, and may stand before a u.)
  is_odd boolean := strpos(plain, '\u') > 0 AND
    replace(plain, '\\', '') ~* '\\u0000|\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]';
  -- Without long digits and bytes it is what we send.
  is_plain boolean := is_odd OR watched[3] = '[]' AND plain !~ '[-+.0-9Ee]{16}';
  row_key text;
BEGIN
  IF is_odd THEN
    this_row := regexp_replace(plain, '((?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f]..)', '\1\\u003f', 'gi');
  END IF;
  SELECT string_agg(coalesce(changebell_escape(this_row->>part), ''), ',') INTO row_key
  FROM json_array_elements_text(watched[2]::json) AS part;
  INSERT INTO changebell_events (type, source, data) VALUES (
    watched[0] || '.' || change,
    regexp_replace(left(watched[1] || '/' || row_key, 200), '%.?$', ''),
    CASE WHEN is_plain THEN plain ELSE (SELECT '{' || string_agg(to_json(key) || ':' || CASE
        WHEN watched[3]::jsonb ? key OR json_typeof(value) = 'number' AND length(value::text) > 15
        THEN changebell_value(value) ELSE value::text END, ',') || '}'
      FROM json_each(this_row)) END);
END $$;

-- Bytes travel in base64; and what JavaScript would not read as the same number travels as a string.
CREATE FUNCTION changebell_value(value json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
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

-- A part of the key, percent-encoded (RFC 3986, section 2.1).
CREATE FUNCTION changebell_escape(part text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF part COLLATE "C" ~ '^[A-Za-z0-9._~-]*$' THEN RETURN part; END IF;
  RETURN (
    SELECT string_agg(CASE WHEN c COLLATE "C" ~ '[A-Za-z0-9._~-]' THEN c
      ELSE regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END, '' ORDER BY place)
    FROM regexp_split_to_table(left(part, 200), '') WITH ORDINALITY AS characters(c, place));
END $$;
