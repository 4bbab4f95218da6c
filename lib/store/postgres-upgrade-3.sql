-- From sources of 200 characters to those of 8192, in which any key that an index of PostgreSQL takes has its room, but for
-- one that it can pack; from tables that were watched as they were at the start to what is noted of their shape; and from a
-- form for drafts alone, or one that was asked for whole of every event, to one that asks less of those that come with seqs.

-- What is there is not asked for: a lock on a second table could meet a program that has both, and end it.
DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass('bell.changebell_watched') AND attname = 'shape') THEN
    ALTER TABLE IF EXISTS bell.changebell_watched ADD shape text;
  END IF;
END $do$;

ALTER TABLE bell.changebell_events DROP CONSTRAINT changebell_form, ADD CONSTRAINT changebell_form CHECK ((seq > 0 OR
    stamp COLLATE "C" ~ '^[0-9a-f]{6,64}$'
    AND length(type) <= 100 AND type COLLATE "C" ~ '^[a-z][a-z0-9._-]*$' AND type NOT LIKE 'stream.%'
    AND length(source) <= 8192 AND source COLLATE "C" ~ '^[!-~]+$'
    AND time COLLATE "C" ~ '^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}Z$')
  AND (seq > 0 AND current_setting('changebell.numbering', true) IS DISTINCT FROM 'on' OR
    data::json IS NOT NULL AND (extensions IS NULL OR json_typeof(extensions::json) = 'object' AND extensions LIKE '{"%}')));
