"""``gradwire watch``: a run from another terminal."""
