"""Runs in one process: server and workers in one event loop, the messages handed over in memory."""
