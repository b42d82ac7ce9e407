"""The database schema of Palaver as yoyo steps, for PostgreSQL and SQLite."""
