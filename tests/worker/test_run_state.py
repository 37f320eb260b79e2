"""What a process keeps of its run when the server assigns other workers to it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.system import memory
from gradwire.common.system.memory import ARRAYS
from gradwire.common.training.config import RunConfig
from gradwire.common.training.layout import Layout, LayoutArray
from gradwire.common.transport.specs import run_to_message
from gradwire.proto import wire_pb2
from gradwire.worker.run_state import RunState
from gradwire.worker.site import Site
from tests.worker.toy_tasks import DIM, Logistic

TARGET = f"{__name__}:make"
CONFIG = RunConfig(task=f"custom({TARGET})", codec="float32", workers=3)


class Own(Logistic):
    """Its measure and its layout show which workers it was built for."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.layout = Layout((LayoutArray(f"of {site.workers[0]}", (DIM,)),), schema="offset 63.7")

    def evaluate(self, params: np.ndarray) -> dict[str, float]:
        return {"first": float(self.site.workers[0])}


def make(site: Site) -> Own:
    return Own(site)


def prepared(*assignments: tuple[int, ...], config: RunConfig = CONFIG) -> RunState:
    state: Any = RunState(allow_import=[TARGET])
    for workers in assignments:
        state.prepare(wire_pb2.Welcome(run=run_to_message(config, b"run"), workers=workers))
    return state


@pytest.mark.parametrize("assignments", [[(0,)], [(0,), (1,)]])
def test_private_run_sends_no_schema_whichever_workers_it_has(assignments: list[tuple[int, ...]]) -> None:
    """Offsets and scales may be statistics of one site's rows."""
    assert prepared(*assignments).layout.schema == "offset 63.7"
    private = prepared(*assignments, config=replace(CONFIG, codec="private_top(epsilon=1.0)"))
    assert private.layout.schema.startswith("fingerprint ") and "63.7" not in private.layout.schema


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"local": "local(steps=2, optimizer=sgd(lr=0.1), scaffold=true)"}, 3),
        ({"local": "local(steps=2, optimizer=adamw, inner=kept)"}, 4),
        ({"local": "local(steps=2, optimizer=adamw)"}, 0),
        ({"codec": "top_k(2)", "feedback": "error"}, 2),
    ],
)
def test_memories_that_do_not_fit_are_refused(
    changes: dict[str, Any], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_to_message(replace(CONFIG, **changes), b"run")
    welcome = wire_pb2.Welcome(run=run, workers=(0, 1))
    needed = 4 * DIM * (ARRAYS + 2 * kept)
    monkeypatch.setattr(memory, "memory_bytes", lambda: needed)
    state = RunState(allow_import=[TARGET])
    state.prepare(welcome)
    for round_ in range(3):
        state.model.round = round_
        state.encoder.encode(state.model, round_)
    assert arrays_in(state) == 2 * kept
    monkeypatch.setattr(memory, "memory_bytes", lambda: needed - 1)
    with pytest.raises(
        ConfigError, match="takes" if not kept else f"what 2 workers remember, {kept} arrays of 6"
    ):
        RunState(allow_import=[TARGET]).prepare(welcome)


def arrays_in(state: RunState) -> int:
    """Different arrays [dim] that the workers' memories consist of."""
    source: Any = state.encoder._source
    controls = getattr(source, "_controls", None)
    found: dict[int, np.ndarray] = {}
    for each in state.encoder._memories:
        held = [*each._state().values(), *(each._before or {}).values()]
        if controls is not None:
            held.append(controls._changes[each.worker].before)
        found |= {id(array): array for array in held if array.shape == (DIM,)}
    return len(found)


def first_reported(state: RunState) -> float:
    report = state.reports.evaluate(state.model)
    assert report is not None
    return report.metrics[0].value


def test_other_workers_are_evaluated_and_laid_out_as_their_own() -> None:
    state = prepared((2,), (0, 1))
    assert state.encoder.workers == (0, 1) and state.layout.arrays[0].name == "of 0"
    assert first_reported(state) == 0


def test_other_workers_keep_the_replica_and_what_was_reported() -> None:
    state = prepared((0, 1))
    replica, _ = state.replica, first_reported(state)
    last = state.reports.last
    state.prepare(wire_pb2.Welcome(run=run_to_message(CONFIG, b"run"), workers=(1, 2)))
    assert state.replica is replica and state.reports.last == last and not state.reports.is_due(0)


def test_same_workers_keep_everything() -> None:
    state = prepared((0, 1))
    before = state.task, state.encoder, state.reports
    state.prepare(wire_pb2.Welcome(run=run_to_message(CONFIG, b"run"), workers=(0, 1)))
    assert (state.task, state.encoder, state.reports) == before
