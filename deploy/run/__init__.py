"""``gradwire run``: a server and its workers as processes of this machine."""
