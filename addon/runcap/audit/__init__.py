"""The audit: the append-only, hash-chained SQLite file of every call, and what is read from it."""
