"""The SQLite file of a privacy ledger: its name, identity and tables."""

from __future__ import annotations

from gradwire.common.errors import LogError
from gradwire.common.system.sqlite import SqliteFormat

NAME = "privacy.db"

SCHEMA = """
CREATE TABLE runs (
    run BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, epsilon REAL NOT NULL, workers TEXT NOT NULL,
    pushes INTEGER NOT NULL
);
CREATE TABLE pushes (run BLOB, worker INTEGER, round INTEGER, payload BLOB, PRIMARY KEY (run, worker, round));
CREATE INDEX by_round ON pushes (run, round);
"""

LEDGER = SqliteFormat(
    what="privacy ledger",
    name=NAME,
    holder="worker",
    application_id=0x67727076,  # "grpv"
    version=1,
    schema=SCHEMA,
    restore="restore a copy made after its last push; otherwise what was spent is not known",
    error=LogError,
)
