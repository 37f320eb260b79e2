"""Processes that are killed in a round, for ``python -m tests.worker.record_victim FOLDER NAME STRIDE``.

A point is a system call or an SQL statement by which round 1 becomes durable, or the payload's departure. At every
STRIDE-th and the last a process dies with SIGKILL; a second one starts in the same folder and goes on to the end. What
came out is printed, a line of JSON each.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradwire.worker.encoder import Encoder
from gradwire.worker.privacy import Ledger
from tests.worker.setups import PRIVATE, SETUPS, WORKERS, Setup, ledger_for, model_at, placed, state

NAMES = {
    **{name: SETUPS[name] for name in ("kept and feedback", "scaffold", "buffers and kept")},
    "private": Setup(SETUPS["kept"].local, PRIVATE),
}
CALLS = ("open", "fdopen", "fsync", "replace", "unlink")


class Points:
    """Counts what makes a round durable, and dies before the point of that number."""

    def __init__(self, deadly: int) -> None:
        self.seen: list[str] = []
        self._deadly = deadly

    def at(self, what: str) -> None:
        self.seen.append(what)
        if len(self.seen) == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, ledger: Ledger | None) -> None:
        """From now on."""
        for name in CALLS:
            setattr(os, name, self._counted(name, getattr(os, name)))
        if ledger is not None:
            ledger._file._file._db.set_trace_callback(lambda sql: self.at(sql[:20]))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.at(name)
            return call(*args, **kwargs)

        return counted


def started(name: str, folder: Path) -> tuple[Encoder, Ledger | None]:
    ledger = ledger_for(PRIVATE, folder) if name == "private" else None
    return placed(NAMES[name], folder).encoder(ledger), ledger


def in_child(work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a process of its own; None if that was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = json.dumps(work()).encode()
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


def first_round(name: str, folder: Path) -> str:
    encoder, _ = started(name, folder)
    return encoder.encode(model_at(0), 0).payloads[0].hex()


def second_round(name: str, folder: Path, deadly: int) -> list[str]:
    encoder, ledger = started(name, folder)
    points = Points(deadly)
    points.watch(ledger)
    encoder.encode(model_at(1), 1)
    points.at("the payload left")
    return points.seen


def the_rest(name: str, folder: Path) -> dict[str, Any]:
    encoder, ledger = started(name, folder)
    paid = ledger.payloads(1) if ledger is not None else None
    recorded = [memory.sent(1) for memory in encoder._memories]
    rounds = [encoder.encode(model_at(t), t) for t in (1, 2)]
    return {
        "paid": paid is not None,
        "recorded": [sent is not None for sent in recorded],
        "same": all(
            sent.payload == payload
            for sent, payload in zip(recorded, rounds[0].payloads, strict=True)
            if sent is not None
        )
        and paid in (None, dict(zip(WORKERS, rounds[0].payloads, strict=True))),
        "payloads": [[payload.hex() for payload in each.payloads] for each in rounds],
        "losses": [each.losses for each in rounds],
        "state": [{name: bits.hex() for name, bits in each.items()} for each in state(encoder)],
        "pushes": ledger.totals.pushes if ledger is not None else None,
    }


def main(folder: Path, name: str, stride: int) -> None:
    begun = folder / "begun"
    first = in_child(lambda: first_round(name, begun))

    def lived(deadly: int) -> tuple[str, list[str] | None, dict[str, Any]]:
        own = folder / str(deadly)
        shutil.copytree(begun, own)
        seen = in_child(lambda: second_round(name, own, deadly))
        return first, seen, in_child(lambda: the_rest(name, own))

    whole = lived(0)
    assert whole[1] is not None
    print(json.dumps(whole))
    last = len(whole[1])
    for deadly in (*range(1, last, stride), last):
        print(json.dumps(lived(deadly)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
