// What the peers that save share: better-sqlite3 with our own durability, one commit for each request.
import Database from 'better-sqlite3';

export function openDatabase() {
  const db = new Database(process.env.DATABASE_URL);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec('CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, created_at TEXT)');
  const insert = db.prepare('INSERT INTO customers (name, email, created_at) VALUES (?, ?, ?)');
  return ({ name, email = null }) => {
    const createdAt = new Date().toISOString();
    const { lastInsertRowid } = insert.run(name, email, createdAt);
    return { id: Number(lastInsertRowid), name, email, createdAt };
  };
}
