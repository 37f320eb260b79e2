"""While a program computes, its stream goes on: entries are folded, the run may end, and a late update is not lost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire
from tests.join.scripts import Script
from tests.join.serving import Server, own

# Computes until the test lets it go on, once for each update. ROUNDS are those that are committed by then: its stream
# may not have brought them yet.
SLOW = """
updates, rounds = iter(UPDATES), iter(ROUNDS)
model = {"w": np.zeros(4, np.float32)}
with joined(gradwire.join(ADDRESS, model, name="slow", worker=0)) as run:
    for batch in run.batches([0]):
        model["w"] -= np.array(next(updates), np.float32)
        note("computed", round=run.round)
        await_go()
        run.step()
        committed = next(rounds, 0)
        while run.round < committed:
            run.step()
        note("model", round=run.round, w=model["w"].tolist(), finished=run.finished)
"""


def slow(*updates: list[float], rounds: Sequence[int] = ()) -> str:
    return f"UPDATES = {updates!r}\nROUNDS = {rounds!r}\n{SLOW}"


def zeros() -> dict[str, Any]:
    return {"w": np.zeros(4, np.float32)}


def test_the_run_ends_while_a_program_computes(tmp_path: Path) -> None:
    """Its wire process folds all rounds and answers with its replica's digest, and the server leaves."""
    model = zeros()
    with (
        Server(tmp_path / "run", own(rounds=6, workers=2, quorum=1, deadline=0.05)) as server,
        Script(slow([1, 1, 1, 1]), server.address) as script,
    ):
        with gradwire.join(server.address, model, name="fast", worker=1, progress=False) as run:
            script.wait("computed")
            for _batch in run.batches([0]):
                model["w"] += 1
                run.step()
        summary = server.summary()
        assert summary["replicas_agree"] and summary["replicas_checked"] == 2 and summary["reconnects"] == 0
        script.go()
        end = script.wait("model")
        assert end["finished"] and end["round"] == 6 and end["w"] == [6.0] * 4 == model["w"].tolist()
        assert script.end() == 0
        says = "gradwire: round 0 was committed before this site's update came: it is not counted"
        assert script.errors().count(says) == 1


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
def test_a_program_that_is_killed_around_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Its wire process ends too, and nothing else changes for the run."""
    monkeypatch.setattr("gradwire.server.shutdown.FINISH_WAIT", 0.3)
    with (
        Server(tmp_path / "run", own(rounds=6, workers=2, quorum=1, deadline=0.05)) as server,
        Script(slow([1, 1, 1, 1]), server.address) as script,
    ):
        with gradwire.join(server.address, zeros(), name="fast", worker=1, progress=False) as run:
            script.wait("computed")
            for _batch in run.batches([0]):
                run.step()
                if before and run.round == 5:
                    script.process.kill()
                    left = server.wait(event="left", process="slow")
                    assert left["reason"] == "its program ended without leaving the run"
        summary = server.summary()
        script.process.kill()
        assert script.end() == -9
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2 - before


@pytest.mark.slow
def test_a_late_update_is_not_counted(tmp_path: Path) -> None:
    model = zeros()
    with (
        Server(tmp_path / "run", own(rounds=6, workers=2, quorum=1, deadline=0.05)) as server,
        Script(slow([8, 8, 8, 8], [2, 2, 2, 2], rounds=[3]), server.address) as script,
        gradwire.join(server.address, model, name="fast", worker=1, progress=False) as run,
    ):
        script.wait("computed")
        for _ in range(3):
            model["w"] += 1
            run.step()
        script.go()
        assert script.wait("model")["w"] == [3.0] * 4  # the mean of those that were counted
        assert script.wait("computed")["round"] == 3
        script.go()
        server.committed(3)  # by the deadline, with this one alone
        end = script.wait("model")
        assert end["round"] == 4 and end["w"] == [1.0] * 4
        run.leave()
        script.process.kill()
        script.end()
        assert "round 0 was committed" in script.errors()


def test_error_feedback_carries_a_late_update(tmp_path: Path) -> None:
    """Bit for bit: what was late is added to the next update, and what top-k leaves out to the one after it."""
    config = own(rounds=9, workers=2, quorum=1, deadline=0.05, codec="top_k(k=1)", feedback="error")
    updates = np.random.default_rng(5).standard_normal((4, 4)).astype(np.float32)
    with (
        Server(tmp_path / "run", config) as server,
        Script(slow(*updates.tolist(), rounds=[2]), server.address) as script,
        gradwire.join(server.address, zeros(), name="fast", worker=1, progress=False) as run,
    ):
        script.wait("computed")
        for _ in range(2):  # rounds that change nothing, and are committed without the slow one
            run.step()
        expected, memory = np.zeros(4, np.float32), updates[0]
        script.go()
        assert script.wait("model")["w"] == expected.tolist()
        for round_, update in enumerate(updates[1:], 2):
            assert script.wait("computed")["round"] == round_
            script.go()
            server.committed(round_)
            memory = memory + update
            largest = np.argmax(np.abs(memory))
            expected[largest] -= memory[largest]
            memory[largest] = 0
            assert script.wait("model")["w"] == expected.tolist()
        run.leave()


@pytest.mark.slow
def test_a_site_that_is_late_in_every_round(tmp_path: Path) -> None:
    """It always gets the newest model, and its error memory holds all that it computed."""
    config = own(rounds=12, workers=2, quorum=1, deadline=0.02, codec="top_k(k=4)", feedback="error")
    updates = [[float(1 << i)] * 4 for i in range(5)]
    with (
        Server(tmp_path / "run", config) as server,
        Script(slow(*updates, rounds=[1, 2, 3, 4]), server.address) as script,
        gradwire.join(server.address, zeros(), name="fast", worker=1, progress=False) as run,
    ):
        for i in range(4):
            assert script.wait("computed")["round"] == i
            run.step()
            server.committed(i)
            script.go()
            assert script.wait("model")["w"] == [0.0] * 4
        assert script.wait("computed")["round"] == 4
        script.go()
        server.committed(4)
        assert script.wait("model")["w"] == [-31.0] * 4
        run.leave()
