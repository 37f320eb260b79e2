"""The SQLite file of a run: its name, identity and tables.

The last field of every row is a checksum of the others: it detects damage that SQLite does not.
"""

from __future__ import annotations

from gradwire.common.errors import LogError
from gradwire.common.system.sqlite_format import SqliteFormat

NAME = "run.db"

# What version 2 added: the tables of version 1 stayed as they were.
_ADDED = (
    "CREATE TABLE resolved (dim INTEGER NOT NULL, codec_spec TEXT NOT NULL, codec_fingerprint BLOB NOT NULL,"
    " optimizer_spec TEXT NOT NULL, downlink_spec TEXT NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE releases (round INTEGER PRIMARY KEY, version TEXT NOT NULL, protocol INTEGER NOT NULL,"
    " checksum BLOB NOT NULL)",
    "CREATE TABLE senders (round INTEGER, process TEXT, workers BLOB NOT NULL, checksum BLOB NOT NULL,"
    " PRIMARY KEY (round, process))",
    "CREATE TABLE losses (round INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum BLOB NOT NULL)",
)

# What version 3 added.
_MODEL = (
    "CREATE TABLE layout (data TEXT NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE constants (array INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE best (round INTEGER, part INTEGER, parts INTEGER NOT NULL, data BLOB NOT NULL,"
    " checksum BLOB NOT NULL, PRIMARY KEY (round, part))",
)

# What version 4 added.
_COUNTED = ("CREATE TABLE counted (round INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum BLOB NOT NULL)",)

# Records of a few kB share pages of 8 KiB, large ones take fewer.
SCHEMA = f"""
PRAGMA page_size = 8192;
CREATE TABLE run (config TEXT NOT NULL, run_id BLOB NOT NULL, rounds INTEGER NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE rounds (
    round INTEGER PRIMARY KEY, workers BLOB NOT NULL, lengths BLOB NOT NULL, examples BLOB NOT NULL,
    digest BLOB NOT NULL, payloads BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE TABLE snapshots (
    round INTEGER, part INTEGER, parts INTEGER NOT NULL, data BLOB NOT NULL, checksum BLOB NOT NULL,
    PRIMARY KEY (round, part)
);
CREATE TABLE assignments (process TEXT PRIMARY KEY, workers BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE metrics (round INTEGER PRIMARY KEY, data TEXT NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum BLOB NOT NULL);
{"; ".join((*_ADDED, *_MODEL, *_COUNTED))};
"""

RUN_LOG = SqliteFormat(
    what="run log",
    name=NAME,
    holder="server",
    application_id=0x67726164,  # "grad"
    version=4,
    schema=SCHEMA,
    restore="restore the directory from a copy",
    error=LogError,
    upgrades={1: _ADDED, 2: _MODEL, 3: _COUNTED},
)
