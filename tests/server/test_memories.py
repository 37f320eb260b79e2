"""What a process is told of its last payloads: counted or not, however old."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import InvalidArgument
from gradwire.common.training.config import RunConfig
from gradwire.common.training.record import RoundRecord
from gradwire.proto import wire_pb2
from gradwire.server.log.run_log import RunLog
from gradwire.server.memories import Memories
from gradwire.server.rounds.events import Commit, Contribution
from gradwire.server.rounds.state import State, start
from gradwire.server.stream.session import Session

CONFIG = RunConfig(task="synthetic(dim=8)", codec="top_k(k=2)", feedback="error", workers=4, rounds=60)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    """Worker 1 in round 0 alone, workers 0 and 2 in all of 40 rounds, worker 3 in none."""
    with RunLog.create(tmp_path, CONFIG, b"run") as log:
        for round_ in range(40):
            workers = (0, 1, 2) if round_ == 0 else (0, 2)
            log.append(RoundRecord(round_, workers, (b"x",) * len(workers)), None)
        yield log


def session(*workers: int) -> Session:
    stream: Any = None
    return Session(1, "a process", workers, stream)


def ready(**last: int) -> wire_pb2.Ready:
    pushes = [wire_pb2.LastPush(worker=int(name[1:]), round=round_) for name, round_ in last.items()]
    return wire_pb2.Ready(last=pushes)


def at(round_: int) -> State:
    return start(4, 60, 1, round_)


def test_a_round_is_counted_or_not_however_old(log: RunLog) -> None:
    memories, hosted = Memories(log), session(0, 1, 2, 3)
    assert memories.settle(hosted, ready(w0=39, w1=0, w2=39), at(40)) == {}
    assert memories.settle(hosted, ready(w1=1, w3=0), at(40)) == {0: [3], 1: [1]}
    assert memories.settle(hosted, ready(w0=39, w1=7, w3=7), at(40)) == {7: [1, 3]}


def test_workers_that_remember_nothing_are_told_nothing(log: RunLog) -> None:
    log.config = replace(CONFIG, feedback="none")
    memories, hosted = Memories(log), session(1)
    assert memories.settle(hosted, ready(w1=7), at(40)) == {}
    assert memories.missed(hosted, Commit(40, (), missing=frozenset({1}))) == []
    log.config = replace(log.config, local="local(steps=2, optimizer=sgd(lr=0.1), scaffold=true)")
    assert Memories(log).settle(hosted, ready(w1=7), at(40)) == {7: [1]}


def test_of_the_open_round_the_commit_decides(log: RunLog) -> None:
    """A worker that has a payload for it and was not asked for it again, and one that was too slow."""
    memories, hosted = Memories(log), session(1, 2, 3)
    assert memories.settle(hosted, ready(w1=40, w2=40), at(40)) == {}
    counted = (Contribution(0, b"x"), Contribution(2, b"x"))
    assert memories.missed(hosted, Commit(40, counted)) == [1]
    assert memories.missed(hosted, Commit(40, counted, missing=frozenset({3}))) == [1, 3]
    assert memories.missed(hosted, Commit(41, (), missing=frozenset({0}))) == [], "of another process"
    assert (
        memories.settle(hosted, ready(), at(41)) == {} and memories.missed(hosted, Commit(40, counted)) == []
    )


def test_a_repeated_push_of_a_counted_payload_is_not_answered_late(log: RunLog) -> None:
    memories = Memories(log)
    assert memories.not_counted(39, (0, 1, 2, 3)) == [1, 3] and memories.not_counted(0, (1,)) == []


def test_ready_names_workers_of_its_process_once(log: RunLog) -> None:
    with pytest.raises(
        InvalidArgument, match="a last push of worker 0, expected workers of this process, once each"
    ):
        Memories(log).settle(session(1), ready(w0=3), at(40))
    twice = wire_pb2.Ready(last=[wire_pb2.LastPush(worker=1, round=r) for r in (1, 2)])
    with pytest.raises(InvalidArgument, match="a last push of worker 1"):
        Memories(log).settle(session(1), twice, at(40))
