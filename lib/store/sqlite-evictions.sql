-- Rows that may have to give way to the one that is being written (`sqlite-evictions.ts`): empty between statements,
-- but for what OR IGNORE and OR FAIL leave. `writer` is the source of the row that is written.
CREATE TABLE IF NOT EXISTS changebell_evicted (
  watched TEXT NOT NULL,
  writer TEXT NOT NULL,
  source TEXT NOT NULL,
  data TEXT NOT NULL,
  extensions TEXT
);
