-- Our own writes: all orders of a turn of a server are one call, one transaction, one flush. They are numbered in
-- the transaction that makes them. Each stands alone: what breaks a rule, or meets a lock, undoes nothing but itself.
-- These functions keep the path of the session, since triggers of an application run inside. So names are qualified, and
-- literals have a type: `jsonb -> 'x'` alone could be an operator that another role has made for two of jsonb.

-- What came of an order; of one that was refused, `answer` is the database's message and `event_id` its SQLSTATE.
-- `place` is the order's place in its caller's list: results may come in any sequence.
CREATE TYPE bell.changebell_outcome AS (place integer, outcome text, answer text, event_id text);

-- An item is an `Order` of `store.ts` with its place, and whether it is `plain`: a creation of a customer, or a publication,
-- without a key. A part is a list of items: many plain ones of one kind, or one of any. Durable once the call is over:
-- the one statement is the transaction.
-- Behind a lock of another program nobody waits: such a write is 'locked', to be tried again by its caller.
-- The lock on numbering comes first, before any row: who holds a row never waits for it, so two servers can't deadlock.
-- A lock elsewhere is waited for in milliseconds: many share one wait, and each that goes alone adds its own. The timeout
-- ends with the transaction. `low`, `retention` and `announced`: see `Numbering.low` and `changebell_prune`. Pruning stands
-- here since writes are what makes the log grow.
CREATE FUNCTION bell.changebell_write_parts(parts jsonb, low bigint, retention bigint, announced bigint)
RETURNS SETOF bell.changebell_outcome LANGUAGE plpgsql AS $$
DECLARE
  items jsonb;
  timeout text;
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock(1130918254, 1);
  FOR items IN SELECT value FROM pg_catalog.jsonb_array_elements(parts) LOOP
    timeout := pg_catalog.set_config('lock_timeout', CASE WHEN items->0 ? 'plain'::text THEN '20' ELSE '3' END, true);
    RETURN QUERY SELECT * FROM bell.changebell_write_part(items, low);
  END LOOP;
  PERFORM bell.changebell_prune(retention, announced, 2000);
END $$;

-- If a part fails, its halves are tried, down to the order that is at fault. Of a thousand orders with one at fault
-- some twenty parts are run, and not a thousand.
-- Each part is a subtransaction: what failed leaves nothing behind, neither rows nor events nor seqs, so no gap.
-- An error of these classes is no order's: connection, transaction state, room, shutdown, system, settings, a bug.
-- A creation may meet an id that another program gave by hand: that is stepped over, and all tried again. (Several times:
-- the next one may be committed meanwhile, and no creation has asked for its id.) One that gets an id of which a draft
-- still tells goes alone: then the drafts of its id come first.
CREATE FUNCTION bell.changebell_write_part(items jsonb, low bigint) RETURNS SETOF bell.changebell_outcome
LANGUAGE plpgsql AS $$
DECLARE
  many integer := pg_catalog.jsonb_array_length(items);
  first jsonb := items->0;
  times integer := coalesce((first->>'again'::text)::integer, 0);
  results bell.changebell_outcome[];
  state text;
  message text;
  rule text;
  half pg_catalog.jsonpath;
BEGIN
  BEGIN
    IF first ? 'plain'::text THEN results := bell.changebell_write_together(items, low);
    ELSE results := ARRAY[bell.changebell_write_one(first, low)]; END IF;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, rule = CONSTRAINT_NAME;
  END;
  IF state IS NULL THEN
    RETURN QUERY SELECT * FROM pg_catalog.unnest(results);
  ELSIF left(state, 2) IN ('08', '25', '53', '57', '58', 'F0', 'XX') THEN -- no order's fault, but the database's
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message;
  ELSIF rule = 'customers_pkey' AND first->>'op'::text = 'create' AND coalesce(first->>'table'::text, 'customers') = 'customers'
    AND times < 5 THEN
    PERFORM bell.changebell_keep_ids();
    RETURN QUERY SELECT * FROM bell.changebell_write_part(
      pg_catalog.jsonb_set(items, '{0,again}', pg_catalog.to_jsonb(times + 1)), low);
  ELSIF state = 'CB425' AND first ? 'plain'::text THEN
    FOR first IN SELECT value FROM pg_catalog.jsonb_array_elements(items) LOOP
      RETURN QUERY SELECT * FROM bell.changebell_write_part(pg_catalog.jsonb_build_array(first - 'plain'::text), low);
    END LOOP;
  ELSIF many = 1 THEN
    RETURN NEXT ROW((first->>'place'::text)::integer,
      CASE WHEN state IN ('55P03', '40P01', '40001') THEN 'locked' ELSE 'refused' END, message, state)::bell.changebell_outcome;
  ELSE
    -- In the sequence of the orders: who came first still has the lower number.
    FOREACH half IN ARRAY ARRAY[pg_catalog.format('$[0 to %s]', many / 2 - 1), pg_catalog.format('$[%s to last]', many / 2)] LOOP
      RETURN QUERY SELECT * FROM bell.changebell_write_part(pg_catalog.jsonb_path_query_array(items, half), low);
    END LOOP;
  END IF;
END $$;

-- One INSERT for all of a kind, whose events get their seqs at once: nobody else can number, for the lock is held. What
-- others have committed is numbered before. (The drafts of the last 10,000 numbers tell whether there is any: see
-- `changebell_number`.) What triggers of an application have written meanwhile are drafts above `mark`, a number that no
-- draft has, and come after.
-- In the sequence of the orders, since ids come from a sequence: who came first has the lower number.
CREATE FUNCTION bell.changebell_write_together(items jsonb, low bigint) RETURNS bell.changebell_outcome[]
LANGUAGE plpgsql AS $$
DECLARE
  mark bigint := pg_catalog.nextval('bell.changebell_drafts');
  numbering text := pg_catalog.set_config('changebell.numbering', 'on', true);
  are_drafts boolean;
  before bigint;
  ids bigint[];
BEGIN
  SELECT EXISTS (SELECT FROM bell.changebell_events WHERE seq >= greatest(low, mark - 10000) AND seq < 0), head
  INTO are_drafts, before FROM bell.changebell_position;
  IF are_drafts THEN
    PERFORM FROM bell.changebell_number(low, 500, mark, false);
    SELECT head INTO before FROM bell.changebell_position;
    IF items->0->>'op'::text = 'create' THEN PERFORM bell.changebell_keep_ids(); END IF;
  END IF;
  IF items->0->>'op'::text = 'create' THEN
    WITH made AS (
      INSERT INTO bell.customers (name, email)
      SELECT item->'fields'::text->>'name'::text, item->'fields'::text->>'email'::text
      FROM pg_catalog.jsonb_array_elements(items) WITH ORDINALITY AS list (item, n) ORDER BY n RETURNING id)
    SELECT pg_catalog.array_agg(id) INTO ids FROM made;
    IF EXISTS (SELECT FROM bell.changebell_events WHERE seq >= greatest(low, mark - 10000) AND seq < 0)
      AND bell.changebell_are_gone(ids, low) THEN
      RAISE EXCEPTION USING ERRCODE = 'CB425', MESSAGE = 'The sequence of ids was set back.';
    END IF;
  ELSE
    INSERT INTO bell.changebell_events (seq, type, source, data, extensions)
    SELECT before + pg_catalog.row_number() OVER (ORDER BY n, m), event->>'type'::text, event->>'source'::text, event->>'data'::text, event->>'extensions'::text
    FROM pg_catalog.jsonb_array_elements(items) WITH ORDINALITY AS list (item, n),
      pg_catalog.jsonb_array_elements(item->'events'::text) WITH ORDINALITY AS events (event, m) ORDER BY n, m;
  END IF;
  SET CONSTRAINTS ALL IMMEDIATE; -- what would break the commit of all breaks its own write
  SET CONSTRAINTS ALL DEFERRED; -- the next write may need it
  numbering := pg_catalog.set_config('changebell.numbering', '', true);
  IF pg_catalog.currval('bell.changebell_drafts') <> mark THEN
    PERFORM FROM bell.changebell_number(low, 500, mark, false);
  END IF;
  RETURN bell.changebell_answers(items, before, ids);
END $$;

-- Is a draft still to be numbered that tells of one of these customers as gone? Their ids were used before, so what is told
-- of those who are there now has to come after it. A program that empties the table may have set back the sequence.
CREATE FUNCTION bell.changebell_are_gone(ids bigint[], low bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM bell.changebell_events WHERE seq >= low AND seq < 0 AND type = 'customer.deleted'
    AND source = ANY (ARRAY(SELECT '/api/customers/' || id FROM unnest(ids) AS id)))
$$;

-- Says to each order of one kind what became of it. A creation is found by its event's source (`ids` are in the sequence
-- of the orders), a publication by the places of its events. The answer to a creation is the data of its event: the row
-- as triggers of an application left it. A rule of an application may have left some out without a word: so who counts
-- fewer answers than orders refuses.
-- A plan doesn't know how long a list is, and would compare each of a thousand orders with each of a thousand events.
-- Of an order only its place is sorted, else each event would take a copy of the whole list along: a gigabyte for a full one.
-- What can't be had without such a loop looks so dear then that it would be compiled, where the session doesn't forbid it.
CREATE FUNCTION bell.changebell_answers(items jsonb, before bigint, ids bigint[]) RETURNS bell.changebell_outcome[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS $$
DECLARE
  answers bell.changebell_outcome[];
BEGIN
  IF items->0->>'op' = 'create' THEN
    answers := ARRAY(
      SELECT ROW((items->(n::integer - 1)->>'place')::integer, 'done', data, stamp || '-' || seq)::bell.changebell_outcome
      FROM unnest(ids) WITH ORDINALITY AS made (id, n) JOIN bell.changebell_events ON source = '/api/customers/' || id
      WHERE seq > before AND type = 'customer.created');
  ELSE
    answers := ARRAY(
      SELECT ROW(place, 'done', json_agg(to_json(event) ORDER BY seq)::text,
        (array_agg(stamp || '-' || seq ORDER BY seq DESC))[1])::bell.changebell_outcome
      FROM (SELECT place, before + row_number() OVER (ORDER BY n, m) AS seq
        FROM (SELECT (item->>'place')::integer AS place, n, jsonb_array_length(item->'events') AS many
          FROM jsonb_array_elements(items) WITH ORDINALITY AS list (item, n) OFFSET 0) AS orders, generate_series(1, many) AS m) AS asked
      LEFT JOIN (SELECT * FROM bell.changebell_events WHERE seq > before) AS event USING (seq) -- not all of the log
      GROUP BY place HAVING count(event.seq) = count(*));
  END IF;
  IF cardinality(answers) <> jsonb_array_length(items) THEN
    RAISE EXCEPTION USING ERRCODE = 'CB409', MESSAGE = 'A rule of the database ignores this change.';
  END IF;
  RETURN answers;
END $$;
