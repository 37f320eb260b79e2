"""A process that pays into a ledger and is killed: ``python -m tests.worker.ledger_victim DIRECTORY ROUND STATEMENT``.

It dies before the SQL statement of that number, counted from the opening of the ledger; what it may send it writes to
standard output first.
"""

import os
import signal
import sys
from pathlib import Path

from gradwire.common.privacy.budget import Budget, Run
from gradwire.worker.privacy import Ledger

RUN = Run(b"run", b"codec", 0.5, frozenset({3, 4}))


def payloads(round_: int) -> dict[int, bytes]:
    """What this process would send for a round; every process draws its own."""
    return {worker: b"%d %d %d" % (os.getpid(), worker, round_) for worker in RUN.workers}


def main(directory: Path, round_: int, statement: int) -> None:
    ledger = Ledger(directory, Budget(1.5))
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    ledger._file._file._db.set_trace_callback(count)
    ledger.admit(RUN)
    ledger.spend(round_, ledger.payloads(round_) or payloads(round_))
    print(ledger.payloads(round_)[4].decode(), flush=True)  # type: ignore[index]
    print(f"statements {seen}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
