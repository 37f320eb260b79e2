"""When rounds open, commit and end: a pure state machine."""
