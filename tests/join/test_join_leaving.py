"""A program that ends before the run does: the server is told at once and why, the seat is kept, nothing is left over.

Each program is a real process with a wire process of its own; the server and, where a second site is needed, that site
are in the test.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import gradwire
from tests.join.scripts import Script
from tests.join.serving import Server, own
from tests.system.harness import TIMEOUT

SLOW = pytest.mark.slow
GONE = "its program ended without leaving the run"

SITE = """
model = {"w": np.zeros(2, np.float32)}
with joined(gradwire.join(ADDRESS, model, name="alice")) as run:
    for step in range(3):
        model["w"] += 1
        run.step(loss=0.5)
    note("computing")
    await_go()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "run", own(rounds=5)) as server:
        yield server


def goes_on(server: Server, round_: int) -> None:
    """The seat is kept: a program of that name takes it, and finishes the run."""
    assert server.find(event="finished") is None and not server.find(event="round", round=4)
    model = {"w": np.zeros(2, np.float32)}
    with gradwire.join(server.address, model, name="alice", progress=False) as run:
        assert run.round == round_ and (model["w"] == round_).all()
        for _batch in run.batches([0]):
            model["w"] += 1
            run.step()
    summary = server.summary()
    assert summary["restarted"] == {"alice": 2} and summary["replicas_agree"]
    assert (run.model()["w"] == 5).all()


@pytest.mark.parametrize(
    ("ending", "code", "reason", "says"),
    [
        pytest.param("pass", 0, "its loop ended before the run did", "", marks=SLOW),
        ("raise ValueError('patient 4711')", 1, "its loop ended with ValueError", "ValueError: patient 4711"),
        pytest.param("sys.exit(7)", 7, "its loop ended with SystemExit", "", marks=SLOW),
        pytest.param(
            "run.step(examples=0)", 1, "its loop ended with ConfigError: examples is 0", "examples is 0", marks=SLOW
        ),
        pytest.param("os._exit(9)", 9, GONE, None, marks=SLOW),
    ],
    ids=["break", "exception", "exit", "refusal", "gone"],
)  # fmt: skip
def test_a_program_that_leaves(server: Server, ending: str, code: int, reason: str, says: str | None) -> None:
    with Script(f"{SITE}    {ending}\n", server.address) as script:
        script.wait("computing")
        script.go()
        left = server.wait(event="left", process="alice")
        assert left["reason"].startswith(reason) and left["workers"] == [0]
        assert script.end() == code
        if says is not None:
            assert says in script.errors()
            last = "gradwire: alice left the run after 3 of 5 rounds: its seat is kept, and the run is not finished\n"
            assert last in script.errors()
    goes_on(server, 3)


def interrupt(script: Script) -> None:
    script.process.send_signal(signal.SIGINT)


def terminate(script: Script) -> None:
    script.process.send_signal(signal.SIGTERM)


def kill(script: Script) -> None:
    script.process.kill()


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        (interrupt, -signal.SIGINT, "its loop ended with KeyboardInterrupt"),
        pytest.param(terminate, -signal.SIGTERM, GONE, marks=SLOW),
        (kill, -signal.SIGKILL, GONE),
    ],
)
@pytest.mark.parametrize("blocked", ["computing", pytest.param("step", marks=SLOW), "join"])
def test_a_program_that_is_ended(
    tmp_path: Path, end: Callable[[Script], None], code: int, reason: str, blocked: str
) -> None:
    """While it computes, while its step waits for another site, and while joining waits for one."""
    text = SITE if blocked == "computing" else SITE.replace("range(3)", "range(100)")
    with Server(tmp_path / "run", own(rounds=5, workers=1 if blocked == "computing" else 2)) as server:
        with Script(text, server.address) as script:
            if blocked == "computing":
                script.wait("computing")
            elif blocked == "join":
                server.wait(event="joined", process="alice")
            else:
                model = {"w": np.zeros(2, np.float32)}
                with gradwire.join(server.address, model, name="bob", progress=False) as bob:
                    script.wait("joined")
                    bob.step()
                    # The script's next step waits for this site, which waits for its end.
                    server.committed(0)
                    end(script)
                    assert server.wait(event="left", process="alice")["reason"] == reason
            if blocked != "step":
                end(script)
            assert server.wait(event="left", process="alice")["reason"] == reason
            assert script.end() == code
            assert script.errors().count("Traceback") == (end is interrupt)
        assert server.find(event="finished") is None


def test_a_wire_process_that_is_killed_is_one_line(server: Server) -> None:
    with Script(f"{SITE}    run.step()\n", server.address) as script:
        wire = script.wait("joined")["wire"]
        script.wait("computing")
        os.kill(wire, signal.SIGKILL)
        assert "reason" not in server.wait(event="left", process="alice")  # nobody was there to give one
        script.go()
        assert script.end() == 1
        last = [line for line in script.errors().splitlines() if line][-1]
        assert last == (
            "gradwire.common.errors.Unavailable: the process that holds this site's connection was killed by SIGKILL: "
            "start the program again; with state_dir it goes on where it was"
        )
    goes_on(server, 3)


def test_a_wire_process_that_hangs_is_killed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.worker.join.link.EXIT_SECONDS", 0.2)
    run = gradwire.join(server.address, {"w": np.zeros(2, np.float32)}, name="alice", progress=False)
    wire = os.pidfd_open(run._link.pid)
    signal.pidfd_send_signal(wire, signal.SIGSTOP)
    run.leave()
    assert select.select([wire], [], [], TIMEOUT)[0]
    os.close(wire)
    server.wait(event="left", process="alice")


DROPPED = """
import gc
model = {"w": np.zeros(2, np.float32)}
run = joined(gradwire.join(ADDRESS, model, name="alice"))
for step in range(3):
    model["w"] += 1
    run.step(loss=0.5)
note("computing")
await_go()
"""


@pytest.mark.parametrize(
    "ending",
    [
        "",
        pytest.param("del run; gc.collect(); note('dropped'); await_go()", marks=SLOW),
        pytest.param("run.leave('a pause'); note('dropped'); await_go()", marks=SLOW),
    ],
    ids=["interpreter exit", "garbage", "leave"],
)
def test_a_program_without_a_block(server: Server, ending: str) -> None:
    with Script(DROPPED + ending, server.address, "-X", "dev", "-W", "error") as script:
        script.wait("computing")
        script.go()
        if ending:
            script.wait("dropped")
        says = "a pause" if "pause" in ending else "its program dropped the run without leaving it"
        assert server.wait(event="left", process="alice")["reason"] == says
        if ending:
            script.go()
        assert script.end() == 0
        assert "Warning" not in script.errors() and "Traceback" not in script.errors()
    goes_on(server, 3)
