"""Processes that write a log and are killed.

``python -m tests.server.log_victim`` reads lines of JSON, [directory, how, …]; for each it forks a process that does
so, and prints the status that the process ended with.
"""

import hashlib
import json
import os
import resource
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from gradwire.common.system import atomic
from gradwire.common.system import sqlite as sqlite_module
from gradwire.common.training.config import RunConfig
from gradwire.common.training.record import RoundRecord
from gradwire.server.log.notes import RoundNotes
from gradwire.server.log.provenance import Resolved
from gradwire.server.log.run_log import RunLog

CONFIG = RunConfig(task="mlp(mnist, hidden=10)", workers=3)
RESOLVED = Resolved(25_000, "codec(repeats=1)", b"f" * 16, "optimizer(lr=0.1)", "log")
NOTES = RoundNotes({"loss": 0.5, "metrics": {}}, (0.25, 0.75), ("a", "b"), "{}")
OPERATIONS = {
    "append": lambda log: log.append(record(log.next_round), 9, NOTES),
    "begin": lambda log: log.set_initial(b"I" * 100_000, RESOLVED),
    "record_release": lambda log: log.record_release(RESOLVED),
    "snapshot": lambda log: log.snapshot(log.next_round, b"S" * 100_000),
    "prune": lambda log: log.prune(2),
    "assign": lambda log: log.assign("a", (0,)),
    "extend": lambda log: log.extend(10**6),
    "keep_best": lambda log: log.keep_best(4, b"C" * 100_000, {"loss": 0.25}),
}


def record(round_: int) -> RoundRecord:
    """The round that every process of these tests appends under that number."""
    return RoundRecord(
        round_, (0, 2), tuple(hashlib.shake_256(b"%d,%d" % (round_, w)).digest(20_000) for w in (0, 2))
    )


def of_version_1(directory: Path) -> None:
    """A run that the release before version 2 of the format left after 7 of 12 rounds; its dump is golden."""
    _restore("log_v1.sql", directory)


def of_version_2(directory: Path) -> None:
    """The same, left by the release before version 3."""
    _restore("log_v2.sql", directory)


def of_version_3(directory: Path) -> None:
    """The same, left by the release before version 4."""
    _restore("log_v3.sql", directory)


def _restore(golden: str, directory: Path) -> None:
    directory.mkdir()
    with closing(sqlite3.connect(directory / "run.db")) as db:
        db.executescript((Path(__file__).parent / "goldens" / golden).read_text(encoding="utf-8"))


def filled(directory: Path) -> None:
    with RunLog.create(directory, CONFIG, b"run") as log:
        log.set_initial(b"I" * 100_000, RESOLVED)
        for round_ in range(4):
            log.append(record(round_), round_, RoundNotes(losses=(0.5, 0.25), senders=("a", "a")))
        log.snapshot(3, b"T" * 100_000)
        log.assign("a", (1, 2))
        log.record_metrics(2, {"loss": 0.5})
        log.keep_best(2, b"B" * 100_000, {"loss": 0.5})
        log.put("key", "value")
        log.put("done a", "00ff")


def append_until_killed(directory: Path) -> None:
    with RunLog.open(directory) as log:
        while True:
            print(f"begin {log.next_round}", flush=True)
            log.append(record(log.next_round), 9)
            print(f"done {log.next_round}", flush=True)


def die_before(directory: Path, operation: str, statement: str) -> None:
    with RunLog.open(directory) as log:
        log._file._db.set_trace_callback(lambda sql: sql.startswith(statement) and die())
        OPERATIONS[operation](log)


def die_writing(directory: Path, operation: str, nbytes: int) -> None:
    """The kernel kills the process in the write that would take a file beyond so many bytes."""
    with RunLog.open(directory) as log:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, nbytes))
        OPERATIONS[operation](log)


def die_creating(directory: Path, step: str) -> None:
    module = atomic if hasattr(atomic, step) else sqlite_module
    setattr(module, step, lambda *_: die())
    RunLog.create(directory, CONFIG, b"run")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    for line in sys.stdin:
        directory, how, *args = json.loads(line)
        child = os.fork()
        if child == 0:
            globals()[how](Path(directory), *args)
            os._exit(0)
        print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        append_until_killed(Path(sys.argv[1]))
    else:
        main()
