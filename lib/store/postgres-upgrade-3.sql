-- From sources of 200 characters to those of 8192, in which any key that an index of PostgreSQL takes has its room, but for
-- one that it can pack; from tables that were watched as they were at the start to what is noted of their shape; and from
-- events that are drafts at first, all of them, to our own that have their seqs at once.

-- What is there is not asked for: a lock on a second table could meet a program that has both, and end it.
DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass('bell.changebell_watched') AND attname = 'shape') THEN
    ALTER TABLE IF EXISTS bell.changebell_watched ADD shape text;
  END IF;
  EXECUTE (SELECT pg_catalog.format('ALTER TABLE bell.changebell_events DROP CONSTRAINT changebell_form, ADD CONSTRAINT changebell_form %s',
      pg_catalog.replace(pg_catalog.replace(pg_catalog.pg_get_constraintdef(oid), 'length(source) <= 200', 'length(source) <= 8192'),
        '(seq > 0)', $$(seq > 0 AND current_setting('changebell.numbering', true) IS DISTINCT FROM 'on')$$))
    FROM pg_catalog.pg_constraint WHERE conrelid = 'bell.changebell_events'::regclass AND conname = 'changebell_form');
END $do$;
