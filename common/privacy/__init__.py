"""Local privacy: what randomises, what it costs, and the worker's own account of it."""
