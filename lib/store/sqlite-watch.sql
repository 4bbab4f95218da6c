-- What WATCH needs beside the log.

-- Which server watches which table, and until when that counts (seconds since 1970), unless it is renewed. A
-- table's triggers stay for as long as anybody watches it.
CREATE TABLE changebell_watching (
  server TEXT NOT NULL,
  watched TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (server, watched)
) WITHOUT ROWID;

-- Twelve bits as three hexadecimal digits, and as two characters of base64 (RFC 4648 §4): SQLite knows the one by
-- itself, and looks up the other some ten times faster than its functions of text could work it out.
CREATE TABLE changebell_base64 (hex TEXT PRIMARY KEY, two TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO changebell_base64
WITH RECURSIVE
  alphabet(letters) AS (SELECT 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'),
  number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 4095)
SELECT printf('%03X', n), substr(letters, 1 + n / 64, 1) || substr(letters, 1 + n % 64, 1) FROM number, alphabet;
