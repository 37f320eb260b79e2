"""The durable log of a run, in SQLite."""
