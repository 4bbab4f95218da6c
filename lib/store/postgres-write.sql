-- Our own writes: all orders of a turn of a server are one call, one transaction, one flush. They are numbered in
-- the transaction that makes them. Each stands alone: what breaks a rule, or meets a lock, undoes nothing but itself.
-- These functions keep the path of the session, since triggers of an application run inside: so names are qualified.

-- What came of an order; of one that was refused, `answer` is the database's message and `event_id` its SQLSTATE.
-- `place` is the order's place in its caller's list: results may come in any sequence.
CREATE TYPE bell.changebell_outcome AS (place integer, outcome text, answer text, event_id text);

-- An item is an `Order` of `store.ts` with its place, and whether it is `plain`: a creation or a publication without a
-- key. `together` are plain ones, `alone` all the others and those under suspicion.
-- Behind a lock of another program nobody waits: such a write is 'locked', to be tried again by its caller.
-- The lock on numbering comes first, before any row: who holds a row never waits for it, so two servers can't deadlock.
-- A lock elsewhere is waited for in milliseconds: many share the first wait, and each of the others adds its own.
-- The timeouts end with the transaction. `low`, `retention` and `announced`: see `changebell_number` and
-- `changebell_prune`. Pruning stands here since writes are what makes the log grow.
-- What it returns is durable once the call is over: the one statement is the transaction.
CREATE FUNCTION bell.changebell_write(together jsonb, alone jsonb, low bigint, retention bigint, announced bigint)
RETURNS SETOF bell.changebell_outcome LANGUAGE plpgsql AS $$
DECLARE
  item jsonb;
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock(1130918254, 1);
  PERFORM pg_catalog.set_config('lock_timeout', '20', true);
  RETURN QUERY SELECT * FROM bell.changebell_write_part(together, low);
  PERFORM pg_catalog.set_config('lock_timeout', '3', true);
  FOR item IN SELECT value FROM pg_catalog.jsonb_array_elements(alone) LOOP
    RETURN QUERY SELECT * FROM bell.changebell_write_part(pg_catalog.jsonb_build_array(item), low);
  END LOOP;
  PERFORM bell.changebell_prune(retention, announced, 2000);
END $$;

-- If a part fails, its halves are tried, down to the order that is at fault. Of a thousand orders with one at fault
-- some twenty parts are run, and not a thousand.
-- Each part is a subtransaction: what failed leaves nothing behind, neither rows nor drafts nor seqs, so no gap.
-- An error of these classes is no order's: connection, transaction state, room, shutdown, system, settings, a bug.
CREATE FUNCTION bell.changebell_write_part(items jsonb, low bigint) RETURNS SETOF bell.changebell_outcome
LANGUAGE plpgsql AS $$
DECLARE
  many integer := pg_catalog.jsonb_array_length(items);
  results bell.changebell_outcome[];
  state text;
  message text;
BEGIN
  IF many = 0 THEN RETURN; END IF;
  BEGIN
    IF (items->0->>'plain')::boolean THEN results := bell.changebell_write_together(items, low);
    ELSE results := ARRAY[bell.changebell_write_one(items->0, low)]; END IF;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
  END;
  IF state IS NULL THEN
    RETURN QUERY SELECT * FROM pg_catalog.unnest(results);
  ELSIF left(state, 2) IN ('08', '25', '53', '57', '58', 'F0', 'XX') THEN -- no order's fault, but the database's
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message;
  ELSIF many = 1 THEN
    RETURN NEXT ROW((items->0->>'place')::integer,
      CASE WHEN state IN ('55P03', '40P01', '40001') THEN 'locked' ELSE 'refused' END, message, state)::bell.changebell_outcome;
  ELSE
    RETURN QUERY SELECT * FROM bell.changebell_write_part(bell.changebell_slice(items, 0, many / 2), low);
    RETURN QUERY SELECT * FROM bell.changebell_write_part(bell.changebell_slice(items, many / 2, many), low);
  END IF;
END $$;

-- Items from `first` up to, but without, `past`, counted from 0.
-- The halves keep the sequence of the orders: who came first still has the lower number.
CREATE FUNCTION bell.changebell_slice(items jsonb, first integer, past integer) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_agg(item ORDER BY n) FROM jsonb_array_elements(items) WITH ORDINALITY AS list (item, n)
  WHERE n > first AND n <= past
$$;

-- One INSERT for all creations and one for all publications: a quarter of the time that they take one by one.
-- In the sequence of the orders, since ids and drafts come from sequences: who came first has the lower number.
-- `mark` is the number of a draft that is never written: what this call writes comes above it.
-- An id that was given by hand is stepped over first: a creation that met it would fail all of its kind.
-- Both kinds keep their sequence, but creations come before publications.
CREATE FUNCTION bell.changebell_write_together(items jsonb, low bigint) RETURNS bell.changebell_outcome[]
LANGUAGE plpgsql AS $$
DECLARE
  mark bigint := pg_catalog.nextval('bell.changebell_drafts');
  ids bigint[];
  published bigint[];
BEGIN
  IF items @> '[{"op": "create"}]' THEN
    PERFORM bell.changebell_keep_ids();
    WITH made AS (
      INSERT INTO bell.customers (name, email)
      SELECT item->'fields'->>'name', item->'fields'->>'email' FROM pg_catalog.jsonb_array_elements(items) WITH ORDINALITY AS list (item, n)
      WHERE item->>'op' = 'create' ORDER BY n RETURNING id)
    SELECT pg_catalog.array_agg(id) INTO ids FROM made;
  END IF;
  IF items @> '[{"op": "publish"}]' THEN
    WITH made AS (
      INSERT INTO bell.changebell_events (type, source, data, extensions)
      SELECT event->>'type', event->>'source', event->>'data', event->>'extensions'
      FROM pg_catalog.jsonb_array_elements(items) WITH ORDINALITY AS list (item, n),
        pg_catalog.jsonb_array_elements(item->'events') WITH ORDINALITY AS events (event, m)
      WHERE item->>'op' = 'publish' ORDER BY n, m RETURNING seq)
    SELECT pg_catalog.array_agg(seq) INTO published FROM made;
  END IF;
  SET CONSTRAINTS ALL IMMEDIATE; -- what would break the commit of all breaks its own write
  RETURN bell.changebell_settle(items, low, mark, ids, published);
END $$;

-- Numbers what was written together, and says to each order what became of it. A plan doesn't know how long a list is,
-- and would compare each of a thousand orders with each of a thousand events. What can't be had without such a loop
-- looks so dear then that it would be compiled, in seconds, where the session doesn't forbid it.
-- A creation is found by its event's source, a publication by the places of its drafts. The answer to a creation is the
-- data of its event: the row as triggers of an application left it.
-- A rule of an application may have left some out, or written events of its own between: so who counts fewer answers
-- than orders refuses.
-- `ids` are of the creations, `published` are drafts; each in the sequence of the orders, and null where there are none.
CREATE FUNCTION bell.changebell_settle(items jsonb, low bigint, mark bigint, ids bigint[], published bigint[])
RETURNS bell.changebell_outcome[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS $$
DECLARE
  drafts bigint[];
  seqs bigint[];
  answers bell.changebell_outcome[];
BEGIN
  SELECT array_agg(draft), array_agg(seq) INTO drafts, seqs FROM bell.changebell_number(low, 500, mark, false);
  WITH orders AS (
    SELECT (item->>'place')::integer AS place, item, row_number() OVER (PARTITION BY item->>'op' ORDER BY n) AS k
    FROM jsonb_array_elements(items) WITH ORDINALITY AS list (item, n)),
  creations AS (
    SELECT place, id FROM orders JOIN unnest(ids) WITH ORDINALITY AS made (id, k) USING (k) WHERE item->>'op' = 'create'),
  publications AS (
    SELECT place, row_number() OVER (ORDER BY k, m) AS k FROM orders,
      jsonb_array_elements(item->'events') WITH ORDINALITY AS events (event, m) WHERE item->>'op' = 'publish'),
  numbered AS (
    SELECT draft, event FROM bell.changebell_events AS event JOIN unnest(drafts, seqs) AS n (draft, seq) USING (seq)
    WHERE event.seq = ANY (seqs) AND draft > mark)
  SELECT array_agg(ROW(place, 'done', answer, event_id)::bell.changebell_outcome) INTO answers FROM (
    SELECT place, (event).data AS answer, (event).stamp || '-' || (event).seq AS event_id FROM creations
    JOIN numbered ON (event).type = 'customer.created' AND (event).source = '/api/customers/' || id
    UNION ALL
    SELECT place, json_agg(to_json(event) ORDER BY (event).seq)::text,
      (array_agg((event).stamp || '-' || (event).seq ORDER BY (event).seq DESC))[1]
    FROM publications JOIN unnest(published) WITH ORDINALITY AS made (draft, k) USING (k) JOIN numbered USING (draft)
    GROUP BY place) AS answered;
  IF cardinality(answers) IS DISTINCT FROM jsonb_array_length(items) THEN -- a rule left a row out without a word
    RAISE EXCEPTION USING ERRCODE = 'CB409', MESSAGE = 'A rule of the database ignores this change.';
  END IF;
  RETURN answers;
END $$;
