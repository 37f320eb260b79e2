"""TCP bytes of the server's connections, from the kernel's own counters (Linux)."""
