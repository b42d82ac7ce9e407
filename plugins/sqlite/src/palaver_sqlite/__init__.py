"""The embedded storage of Palaver: one SQLite file."""
