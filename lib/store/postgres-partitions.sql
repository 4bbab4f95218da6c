-- Partitions of watched tables come and go without a trigger for their rows: ATTACH, DETACH. An event trigger would
-- tell, but only a superuser may make one. So a server compares, once a second, what there is with what is noted here.

-- Partitions that are known, and the table itself: in a restored database all of them have other oids.
CREATE TABLE bell.changebell_partitions (
  source text NOT NULL,
  -- The oid stays when a partition is renamed or gets another schema.
  relation oid NOT NULL,
  PRIMARY KEY (source, relation)
);

-- The table and its partitions, and the transaction and command that put each where it is, or what it is in.
-- Of all links above a partition the newest counts: a subtree that is attached brings its partitions with it. Ages are
-- compared, since transaction numbers begin anew after four thousand million.
CREATE FUNCTION bell.changebell_tree(root regclass) RETURNS TABLE (relation oid, since xid, command bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE tree AS (
    SELECT root::oid AS relation, NULL::xid AS since, NULL::bigint AS command
    UNION ALL
    SELECT inhrelid, newer.* FROM tree JOIN pg_inherits AS link ON inhparent = relation, LATERAL (
      SELECT CASE WHEN age(since) < age(link.xmin) THEN since ELSE link.xmin END,
        CASE WHEN age(since) < age(link.xmin) THEN command ELSE link.cmin::text::bigint END) AS newer)
  SELECT * FROM tree
$$;

-- What came or went since it was noted; `pages` is how large it is. Nothing, where the table isn't the one that was noted.
-- What went comes first: a row that moved from one partition to another is there in the end. Of what was dropped with its
-- rows nobody can tell them: so copies have to be loaded again.
CREATE FUNCTION bell.changebell_moved(of text, root regclass)
RETURNS TABLE (relation oid, change text, since xid, command bigint, pages bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF NOT EXISTS (SELECT FROM bell.changebell_partitions WHERE source = of AND relation = root::oid) THEN RETURN; END IF;
  DELETE FROM bell.changebell_partitions WHERE source = of AND NOT EXISTS (SELECT FROM pg_class WHERE oid = relation);
  IF FOUND THEN PERFORM bell.changebell_tell_reset(watched) FROM bell.changebell_watched AS watched WHERE source = of; END IF;
  RETURN QUERY SELECT relation, CASE WHEN noted.source IS NULL THEN 'created' ELSE 'deleted' END, since, command,
    coalesce(pg_relation_size(relation) / current_setting('block_size')::bigint, 0)
  FROM bell.changebell_tree(root)
    FULL JOIN (SELECT * FROM bell.changebell_partitions WHERE source = of) AS noted USING (relation)
  WHERE since IS NULL AND noted.source IS NOT NULL AND relation <> root OR noted.source IS NULL
  ORDER BY 2 DESC, 1;
END $$;

-- Tells some pages' rows of a partition that went or came: of one that came, those that were in it already. Others, of
-- which a trigger told, are of a later transaction, or of the same one and a later command. Few pages at a time, since
-- whoever drops the table waits for as long.
-- With row security off, a table whose policies hold for us can't be read at all: better than a part of its rows.
CREATE FUNCTION bell.changebell_tell_moved(of text, relation oid, change text, since xid, command bigint, first bigint, past bigint)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET row_security = off
SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET IntervalStyle = 'iso_8601' SET lc_monetary = 'C'
SET bytea_output = 'hex' SET extra_float_digits = 1 AS $$
DECLARE
  watched bell.changebell_watched;
BEGIN
  SELECT * INTO watched FROM bell.changebell_watched WHERE source = of;
  PERFORM FROM pg_class WHERE oid = relation AND relkind = 'r';
  IF NOT FOUND OR watched.source IS NULL THEN RETURN; END IF;
  EXECUTE format('SELECT bell.changebell_announce($1, $2, moved.*, $3) FROM ONLY %s AS moved
    WHERE ctid >= $4 AND ctid < $5 AND ($2 = ''deleted'' OR age(xmin) > age($6) OR xmin = $6 AND cmin::text::bigint < $7)',
    relation::regclass)
  USING watched, change, bell.changebell_odd_columns(relation, current_user),
    format('(%s,0)', first)::tid, format('(%s,0)', past)::tid, since, command;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'Changebell may not read %, so what became of its rows is not announced', relation::regclass;
END $$;
