"""Runs with a host per process: an address, an interface and its counters."""
