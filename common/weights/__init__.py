"""Models as named arrays: between a run's flat vector, a user's module, and files."""
