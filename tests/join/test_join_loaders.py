"""Data loaders with processes of their own, while the stream breaks and comes back."""

import os
import select
import signal
from pathlib import Path

import pytest

from tests.join.scripts import Script
from tests.join.serving import Server, own, watched
from tests.system.harness import TIMEOUT

EPOCHS = 50
# One round per epoch; the loader's processes are 4.
LOADER = """
import multiprocessing
import warnings
import torch
warnings.filterwarnings("ignore", message="This DataLoader will create 4 worker processes")  # on 2 cores
torch.set_num_threads(1)
torch.manual_seed(0)
multiprocessing.set_forkserver_preload(["torch.utils.data"])
samples = torch.utils.data.TensorDataset(torch.randn(32, 3), torch.randn(32, 1))
loader = torch.utils.data.DataLoader(
    samples, batch_size=8, shuffle=True, num_workers=4, multiprocessing_context=START, persistent_workers=PERSISTENT
)
module = torch.nn.Linear(3, 1)
optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
with joined(gradwire.join(ADDRESS, module, name="alice", every=4)) as run:
    for inputs, targets in run.batches(loader):
        optimizer.zero_grad()
        loss = (module(inputs) - targets).square().mean()
        loss.backward()
        optimizer.step()
        run.step(loss=loss, examples=len(inputs))
        if run.round == PAUSE:
            note("paused", loaders=[process.pid for process in multiprocessing.active_children()])
            await_go()
assert run.finished
note("finished", round=run.round)
"""


def script(start: str, *, persistent: bool, pause: int = -1) -> str:
    return f"START, PERSISTENT, PAUSE = {start!r}, {persistent}, {pause}\n{LOADER}"


def ended(descriptor: int) -> bool:
    """Wait until that process has ended."""
    return bool(select.select([descriptor], [], [], TIMEOUT)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "persistent", "epochs"),
    [
        ("fork", False, EPOCHS),
        ("fork", True, EPOCHS),
        ("forkserver", False, EPOCHS),
        ("forkserver", True, EPOCHS),
        ("spawn", True, EPOCHS),
        ("spawn", False, 4),  # each epoch starts four interpreters that load torch
    ],
)
def test_epochs_with_reconnects_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, persistent: bool, epochs: int
) -> None:
    """No hang, and no warning, which would be an error here."""
    made = watched(monkeypatch.setattr)
    with (
        Server(tmp_path / "run", own(rounds=epochs)) as server,
        Script(script(start, persistent=persistent), server.address, "-W", "error") as program,
    ):
        for round_ in range(0, epochs - 1, max(1, epochs // 8)):
            server.committed(round_)
            server.abort_streams(made[0])
        assert program.wait("finished")["round"] == epochs
        assert program.end() == 0
        summary = server.summary()
        errors = program.errors()
    assert summary["reconnects"] >= 3 and summary["replicas_agree"] and summary["restarted"] == {}
    assert summary["predicted_equals_measured"] and summary["late"] == 0
    lines = [line for line in errors.splitlines() if not line.startswith("gradwire: ")]
    assert lines == [] and "left the run" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("persistent", [False, True])
def test_ctrl_c_ends_all_processes(tmp_path: Path, start: str, persistent: bool) -> None:
    """A terminal sends SIGINT to the whole process group."""
    text = script(start, persistent=persistent, pause=2)
    with (
        Server(tmp_path / "run", own(rounds=EPOCHS)) as server,
        Script(text, server.address, "-W", "error", own_group=True) as program,
    ):
        loaders = [os.pidfd_open(pid) for pid in program.wait("paused")["loaders"]]
        assert len(loaders) == 4
        os.killpg(program.pid, signal.SIGINT)
        assert server.wait(event="left")["reason"] == "its loop ended with KeyboardInterrupt"
        assert program.end() == -signal.SIGINT
        assert all(map(ended, loaders))
        for descriptor in loaders:
            os.close(descriptor)
        assert "Warning" not in program.errors()
        assert "alice left the run after 2 of 50 rounds: its seat is kept" in program.errors()


FORKED = """
model = {"w": np.zeros(2, np.float32)}
run = joined(gradwire.join(ADDRESS, model, name="alice"))
run.step()
child = os.fork()
if child == 0:
    CHILD
note("forked", child=child)
await_go()
run.step()
note("stepped", status=os.waitpid(child, 0)[1])
run.leave("enough")
"""


def test_a_program_that_is_killed_while_a_forked_process_holds_its_socket(tmp_path: Path) -> None:
    text = FORKED.replace("CHILD", "signal.pause()")
    with Server(tmp_path / "run", own(rounds=5)) as server, Script(text, server.address) as program:
        child = program.wait("forked")["child"]
        try:
            program.process.kill()
            assert server.wait(event="left")["reason"] == "its program ended without leaving the run"
            assert all(map(ended, program.wires))
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_a_forked_process_does_not_end_the_part_of_its_parent(tmp_path: Path) -> None:
    """Neither by a step, which is refused, nor by ending as interpreters do."""
    steps = """
    try:
        run.step()
    except gradwire.common.errors.FailedPrecondition as error:
        note("refused", says=str(error))
    sys.exit(3)
"""
    text = FORKED.replace("    CHILD", steps)
    with (
        Server(tmp_path / "run", own(rounds=5)) as server,
        Script(text, server.address, "-X", "dev", "-W", "error") as program,
    ):
        says = "this process was forked from the one that joined: only that one takes steps"
        assert program.wait("refused")["says"] == says
        program.go()
        assert os.waitstatus_to_exitcode(program.wait("stepped")["status"]) == 3
        assert server.wait(event="left")["reason"] == "enough" and program.end() == 0
        assert "Warning" not in program.errors() and "Traceback" not in program.errors()
        assert server.find(event="round", round=1)
