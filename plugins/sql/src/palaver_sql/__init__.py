"""What the SQL storages of Palaver share: statements, rows and the write queue."""
