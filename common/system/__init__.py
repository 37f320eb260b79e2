"""The operating system: durable files, SQLite, locks, memory, signals."""
