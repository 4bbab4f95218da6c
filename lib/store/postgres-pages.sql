-- Pages of rows, and the place in the log at which they are true: snapshots.

-- What `page`, the text of a query of ours for (key, json), finds, numbered: up to `two` rows, but no more than fit into 4 MiB
-- and a second; `past` is the row after those. Row after row, since what is not fetched is not put together: a hundred
-- rows of a megabyte take longer than a statement may. So the query must not number its rows itself: a window function
-- that has no room in memory reads its whole table first; and without an index all would be read whole to be sorted. It
-- sees what the statement sees that calls it.
CREATE FUNCTION bell.changebell_page(page text, one text[], two bigint)
RETURNS TABLE (n integer, key text, json text, past boolean)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
  its_rows refcursor;
  bytes integer := 0;
  since timestamptz := pg_catalog.clock_timestamp();
BEGIN
  OPEN its_rows NO SCROLL FOR EXECUTE page USING one, two;
  LOOP
    FETCH its_rows INTO key, json;
    EXIT WHEN NOT FOUND;
    n := coalesce(n OPERATOR(pg_catalog.+) 1, 1);
    past := bytes OPERATOR(pg_catalog.>) 0 AND (pg_catalog.octet_length(json) OPERATOR(pg_catalog.+) bytes OPERATOR(pg_catalog.>) 4194304
      OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) since OPERATOR(pg_catalog.>) interval '1 s');
    RETURN NEXT;
    EXIT WHEN past;
    bytes := bytes OPERATOR(pg_catalog.+) pg_catalog.octet_length(json);
  END LOOP;
END $$;

-- Rows and the place at which they are true: one statement numbers what is committed and reads the page, so both are
-- of one moment. `page` calls `changebell_page`; `one` and `two` are its $1 and $2.
-- No others can commit a seq between, for the lock is held. Nothing asks whether there are drafts: who calls this has
-- found some in each of several tries.
CREATE FUNCTION bell.changebell_numbered_page(page text, one text[], two bigint, low bigint)
RETURNS TABLE (head bigint, head_stamp text, n integer, key text, json text, past boolean) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_mergejoin = off SET enable_hashjoin = off
SET jit = off AS $$
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock(1130918254, 1);
  PERFORM pg_catalog.pg_notify('changebell', '');
  RETURN QUERY EXECUTE 'WITH drafts AS (
      SELECT seq, pg_catalog.row_number() OVER (ORDER BY seq) AS place FROM bell.changebell_events
      WHERE seq >= $3 AND seq < 0),
    numbered AS (
      UPDATE bell.changebell_events AS event SET seq = head + place FROM drafts, bell.changebell_position
      WHERE event.seq = drafts.seq RETURNING event.seq, event.stamp),
    newest AS (SELECT seq, stamp FROM numbered ORDER BY seq DESC LIMIT 1)
    SELECT coalesce(newest.seq, head), coalesce(stamp, head_stamp), page.* FROM bell.changebell_position
    LEFT JOIN newest ON true LEFT JOIN (' OPERATOR(pg_catalog.||) page OPERATOR(pg_catalog.||) ') AS page ON true ORDER BY n'
  USING one, two, low;
END $$;
