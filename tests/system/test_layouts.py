"""Models with named arrays over the wire: statistics that travel, constants, and sites whose models differ."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.common.errors import LayoutError, PrivacyError, TaskError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from gradwire.worker.tasks import Gradient
from tests.system.fault_injection import run_with_two_servers
from tests.system.harness import TIMEOUT, Run, cancel, run_script, simulate

DIM, STATISTICS = 6, 2
TABLE = np.arange(4, dtype="<i8").tobytes()
TARGET = f"{__name__}:make"
THIS = sys.modules[__name__]
CONFIG = RunConfig(
    task=f"custom({TARGET})", codec="cross_polytope(repeats=4)", workers=3, rounds=12, digest_every=1
)


class Task:
    """Pulls its parameters to 1; its statistics are the mean of what each worker has seen: 10 times its number."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.dim = layout, layout.dim

    def constants(self) -> list[bytes]:
        return [TABLE]

    def initial(self) -> NDArray[np.float32]:
        return np.zeros(self.dim, np.float32)

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        value = params - 1
        value[-STATISTICS:] = 0.5 * (
            params[-STATISTICS:] - 10 * worker
        )  # old - new, new half-way to what was seen
        return Gradient(value, float(value @ value), 1)

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        return {"statistic": float(params[-1])}


def layout_of(head: str = "w", table: bytes = TABLE) -> Layout:
    return Layout(
        (
            LayoutArray(head, (2, 2)),
            LayoutArray("norm.mean", (STATISTICS,), role=Role.AVERAGED),
            LayoutArray("table", (4,), "int64", Role.CONSTANT, constant_digest(table)),
        )
    )


def make(workers: int, seed: int) -> Task:
    return Task(layout_of())


def other_names(workers: int, seed: int) -> Task:
    return Task(layout_of("weights"))


def other_values(workers: int, seed: int) -> Task:
    return Task(layout_of(table=bytes(32)))


def constants_that_do_not_fit(workers: int, seed: int) -> Task:
    task = Task(layout_of())
    task.constants = lambda: [b"short"]  # type: ignore[method-assign]
    return task


def layout_that_does_not_fit(workers: int, seed: int) -> Task:
    task = Task(layout_of())
    task.layout = Layout.flat(5)
    return task


async def both(run: Run, group: asyncio.TaskGroup) -> None:
    for i, ids in enumerate([(0, 2), (1,)]):
        group.create_task(run.work(f"process-{i}", ids, allow_import=[TARGET]))


@pytest.mark.parametrize("codec", ["cross_polytope(repeats=4)", "float32", "qsgd(levels=3)"])
@pytest.mark.parametrize("downlink", ["log", "sum", "model"])
def test_statistics_are_averaged_and_replicas_agree(codec: str, downlink: str, tmp_path: Path) -> None:
    config = replace(CONFIG, codec=codec, downlink=downlink)
    summary, _ = run_script(config, tmp_path, both)
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]
    assert summary["codec"].startswith("float32_tail(")
    assert summary["digest"] == f"{simulate(config, allow_import=[TARGET]).digest:016x}"
    expected = 10.0 * (1 - 0.5**12)  # the mean of 0, 10 and 20, half-way nearer in every round
    assert summary["metrics"]["statistic"] == pytest.approx(expected, rel=1e-6)


def test_a_resumed_run_has_layout_and_constants_from_its_log(tmp_path: Path) -> None:
    summary, _ = run_with_two_servers(CONFIG, tmp_path, after=5, allow_import=[TARGET])
    assert summary["digest"] == f"{simulate(CONFIG, allow_import=[TARGET]).digest:016x}"
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]
    with RunLog.open(tmp_path) as log:
        assert log.layout() == layout_of() and log.constants() == (TABLE,)
        assert Fold(log).started.layout == layout_of()


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("other_names", "w .* here, weights .* there|weights .* here, w .* there"),
        ("other_values", "the values of the constant array table differ"),
    ],
)
def test_a_site_with_another_model_names_the_difference_and_leaves(
    factory: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost: the run goes on as soon as a site with the run's model takes its place."""

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("process-0", (0, 2), allow_import=[TARGET]))
        await run.joined("process-0")
        right = THIS.make
        monkeypatch.setattr(THIS, "make", getattr(THIS, factory))
        with pytest.raises(LayoutError, match=f"this site's model is not the run's: ({words})"):
            await run.work("process-1", (1,), allow_import=[TARGET])
        monkeypatch.setattr(THIS, "make", right)
        group.create_task(run.work("process-1", (1,), allow_import=[TARGET]))

    summary, _ = run_script(CONFIG, tmp_path, script)
    assert summary["replicas_agree"]


@pytest.mark.parametrize(
    ("factory", "codec", "error", "words"),
    [
        (
            "make",
            "private(rr(epsilon=4), cross_polytope(repeats=1))",
            PrivacyError,
            r"running statistics \(norm.mean, …\), .* use GroupNorm",
        ),
        ("constants_that_do_not_fit", "float32", TaskError, r"constants\(\) do not fit its layout"),
        ("layout_that_does_not_fit", "float32", TaskError, "a task with 6 parameters and a layout of 5"),
    ],
)
def test_a_worker_refuses_before_it_sends_a_model(
    factory: str,
    codec: str,
    error: type[Exception],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(THIS, "make", getattr(THIS, factory))

    async def main() -> None:
        run = Run(replace(CONFIG, codec=codec), tmp_path)
        async with asyncio.timeout(TIMEOUT):
            server = asyncio.create_task(run.serve())
            with pytest.raises(error, match=words):
                await run.work("a", (0, 1, 2), allow_import=[TARGET])
            await cancel(server)

    asyncio.run(main())
    with RunLog.open(tmp_path) as log:
        assert not log.has_initial
