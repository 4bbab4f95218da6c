-- From sources of 200 characters to those of 8192, in which any key that an index of PostgreSQL takes has its room, but for
-- one that it can pack; and from tables that were watched as they were at the start to what is noted of their shape.

ALTER TABLE IF EXISTS bell.changebell_watched ADD shape text;
DO $$ BEGIN
  EXECUTE (SELECT pg_catalog.format('ALTER TABLE bell.changebell_events DROP CONSTRAINT changebell_form, ADD CONSTRAINT changebell_form %s',
      pg_catalog.replace(pg_catalog.pg_get_constraintdef(oid), 'length(source) <= 200', 'length(source) <= 8192'))
    FROM pg_catalog.pg_constraint WHERE conrelid = 'bell.changebell_events'::regclass AND conname = 'changebell_form');
END $$;
