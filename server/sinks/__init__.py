"""Where the curves of a run go besides its log: files that other programs read."""
