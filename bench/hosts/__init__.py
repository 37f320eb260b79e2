"""A run whose every process has a host of its own: an address, an interface and its counters."""
