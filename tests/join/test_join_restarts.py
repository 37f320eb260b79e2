"""Programs and servers that are killed and started again: nothing is lost, and nothing counts twice."""

import math
import os
import select
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire
from gradwire.common.errors import FailedPrecondition, Unavailable
from gradwire.worker.join.run import JoinedRun
from tests.join.scripts import Script
from tests.join.serving import Pushes, Server, own, watched
from tests.system.harness import TIMEOUT

# A site that moves by numbers nobody could compute again.
RANDOM_SITE = """
model = {"w": np.zeros(4, np.float32)}
with joined(gradwire.join(ADDRESS, model, **OPTIONS)) as run:
    for batch in run.batches([0]):
        update = np.frombuffer(os.urandom(8), np.uint16).astype(np.float32)
        model["w"] -= update
        note("update", round=run.round, update=update.tolist())
        run.step(loss=1.0)
    note("model", w=model["w"].tolist())
"""


def site(**options: object) -> str:
    return f"OPTIONS = {options!r}\n{RANDOM_SITE}"


def zeros() -> dict[str, Any]:
    return {"w": np.zeros(4, np.float32)}


def wait_for_wire(run: JoinedRun) -> None:
    """Wait until the wire process has ended."""
    descriptor = os.pidfd_open(run._link.pid)
    assert select.select([descriptor], [], [], TIMEOUT)[0]
    os.close(descriptor)


def test_a_payload_that_was_not_counted_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is killed after its payload left, and the server before it had counted it."""
    config, text = own(rounds=5), site(state_dir=str(tmp_path / "site"))
    pushes = Pushes(monkeypatch)
    pushes.lost_from = 2
    with Server(tmp_path / "run", config) as server, Script(text, server.address) as script:
        name = script.wait("joined")["name"]
        pushes.wait(2, name)
        script.process.kill()
        script.end()
        updates = [note["update"] for note in script.noted("update")]
    assert len(updates) == 3
    pushes.lost_from = math.inf
    with Server(tmp_path / "run", config) as server, Script(text, server.address) as script:
        joined = script.wait("joined")
        # Not 2, whose update the first program has computed.
        assert joined["name"] == name and joined["round"] == script.wait("update")["round"] == 3
        model = script.wait("model")["w"]
        assert script.end() == 0
        updates += [note["update"] for note in script.noted("update")]
        summary = server.summary()
    assert summary["restarted"] == {name: 2} and summary["predicted_equals_measured"]
    assert len(updates) == 5 and model == (-np.sum(updates, axis=0)).tolist()


@pytest.mark.parametrize("records", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_site_that_has_pushed_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: bool
) -> None:
    """The round waits for another site: what the restarted program computed at the same model would count twice."""
    kept = {"state_dir": str(tmp_path / "site")} if records else {}
    pushes, model = Pushes(monkeypatch), zeros()
    with (
        Server(tmp_path / "run", own(rounds=3, workers=2)) as server,
        Script(site(name="alice", worker=0, **kept), server.address) as script,
        gradwire.join(server.address, model, name="bob", worker=1, progress=False) as bob,
    ):
        first = script.wait("update")["update"]
        bob.step()
        second = script.wait("update")["update"]
        pushes.wait(1, "alice")
        script.process.kill()
        script.end()
        with Script(site(name="alice", worker=0, **kept), server.address) as again:
            server.wait(event="restarted", process="alice")
            bob.step()
            third = again.wait("update")
            assert third["round"] == 2
            for _batch in bob.batches([0]):
                bob.step()
            assert again.end() == 0
            assert "not counted" not in again.errors()
    sums = np.sum([first, second, third["update"]], axis=0)
    np.testing.assert_array_equal(model["w"], -sums / 2)


@pytest.mark.slow
def test_a_reconnect_before_the_first_round_is_no_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = watched(monkeypatch.setattr)
    with (
        Server(tmp_path / "run", own(rounds=2, workers=2)) as server,
        Script(site(name="alice", worker=0), server.address) as script,
    ):
        server.wait(event="joined", process="alice")
        server.abort_streams(made[0])
        server.wait(event="left", process="alice")
        with gradwire.join(server.address, zeros(), name="bob", worker=1, progress=False) as bob:
            for _batch in bob.batches([0]):
                bob.step()
        assert script.end() == 0
        summary = server.summary()
    assert summary["restarted"] == {} and summary["reconnects"] >= 1


def test_a_script_goes_on_with_a_server_that_is_started_again(tmp_path: Path) -> None:
    config, model = own(rounds=6), zeros()
    with Server(tmp_path / "run", config) as server:
        run = gradwire.join(server.address, model, name="alice", progress=False)
        for _ in range(3):
            model["w"] += 1
            run.step()
        model["w"] += 1
    with Server(tmp_path / "run", config, listen=server.address) as again, run:
        assert again.find(event="listening", round=3)
        run.step()  # the update that was computed while no server was there counts
        assert run.round == 4 and (model["w"] == 4).all()
        for _batch in run.batches([0]):
            model["w"] += 1
            run.step()
        summary = again.summary()
    assert (model["w"] == 6).all() and summary["restarted"] == {} and summary["late"] == 0


def closed_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_a_server_that_never_was_there(capfd: pytest.CaptureFixture[str]) -> None:
    address = closed_address()
    for _ in range(2):  # and the process may join again
        with pytest.raises(Unavailable) as refused:
            gradwire.join(address, zeros(), retry_for=0.3, progress=False)
        assert str(refused.value) == f"no server at {address} for 0.3 s: is it running?"
    assert capfd.readouterr() == ("", "")


def test_a_server_that_goes_away_while_the_program_computes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The wire process has given up when the program comes back; why is still to be read."""
    with Server(tmp_path / "run", own(rounds=6)) as server:
        run = gradwire.join(server.address, zeros(), name="alice", retry_for=0.3, progress=False)
        run.step()
    wait_for_wire(run)
    with pytest.raises(Unavailable) as refused:
        run.step()
    assert str(refused.value) == f"no server at {server.address} for 0.3 s: is it running?"
    with pytest.raises(FailedPrecondition, match="this site has left the run"):
        run.step()
    assert not run.finished and run.round == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_leaving_while_the_server_is_away(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Server(tmp_path / "run", own(rounds=6)) as server:
        run = gradwire.join(server.address, zeros(), name="alice", progress=True)
        run.step()
    run.leave()
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == (
        "gradwire: alice left the run after 1 of 6 rounds: its seat is kept, and the run is not finished"
    )
    assert "Traceback" not in "".join(lines)
