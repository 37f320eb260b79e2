"""The model that a log gives: after every round, of every kind of array, and with nothing changed in the folder."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import LayoutError, LogError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest
from gradwire.common.weights.arrays import Array
from gradwire.server import fold as fold_module
from gradwire.server.export import ExportedModel, export_model
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from tests.common.downlinks.rounds import record_of
from tests.server.log_victim import of_version_1

BACKBONE = np.arange(4, dtype="<i8")
LAYOUT = Layout(
    (
        LayoutArray("head", (2, 4), "bfloat16", aliases=("tail",)),
        LayoutArray("bias", (4,)),
        LayoutArray("running_mean", (4,), role=Role.AVERAGED),
        LayoutArray("backbone", (4,), "int64", Role.CONSTANT, constant_digest(BACKBONE.tobytes())),
    )
)
INITIAL = np.linspace(-1, 1, LAYOUT.dim, dtype=np.float32)
CONFIG = RunConfig(
    task="custom(a:b)",
    codec="cross_polytope(repeats=3)",
    optimizer="averaged(sgd(lr=0.25))",
    workers=3,
    rounds=9,
)


def begun(folder: Path, *, constants: tuple[bytes, ...] = (BACKBONE.tobytes(),), **changes: Any) -> Fold:
    fold = Fold(RunLog.create(folder, replace(CONFIG, **changes), b"a run"))
    fold.begin(INITIAL.tobytes(), fold.codec_at(LAYOUT.dim, LAYOUT.averaged), LAYOUT, constants)
    return fold


def train(fold: Fold, rounds: int) -> list[tuple[bytes, bytes]]:
    """Commit rounds; the parameters and what is evaluated, before and after each of them."""
    seen = [(fold.model.params.tobytes(), fold.model.reported.tobytes())]
    for _ in range(rounds):
        fold.append(record_of(fold.codec, fold.model.round, (0, 2) if fold.model.round % 3 else (0, 1, 2)))
        seen.append((fold.model.params.tobytes(), fold.model.reported.tobytes()))
    return seen


def export(folder: Path, round_: int | None = None, **options: Any) -> ExportedModel:
    with RunLog.open_read_only(folder) as log:
        return export_model(log, round_, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("snapshots", [False, True])
def test_model_after_each_round(snapshots: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if snapshots:
        monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 40)  # bytes: of some rounds
        monkeypatch.setattr(fold_module, "SNAPSHOT_FACTOR", 0)
    fold = begun(tmp_path)
    seen = train(fold, 9)
    fold.log.close()
    before = contents(tmp_path)
    for round_, (last, reported) in enumerate(seen):
        exported = export(tmp_path, round_)
        assert exported.params.tobytes() == reported and exported.round == round_
        assert export(tmp_path, round_, last_iterate=True).params.tobytes() == last
    assert export(tmp_path).params.tobytes() == seen[-1][1] != seen[-1][0]
    assert contents(tmp_path) == before


def test_arrays_are_those_of_the_users_module(tmp_path: Path) -> None:
    fold = begun(tmp_path)
    train(fold, 2)
    fold.log.close()
    exported = export(tmp_path, last_iterate=True)
    arrays = exported.arrays()
    assert (
        list(arrays) == ["head", "tail", "bias", "running_mean", "backbone"]
        and arrays["tail"] is arrays["head"]
    )
    assert arrays["head"].dtype == "bfloat16" and arrays["head"].shape == (2, 4)
    assert arrays["running_mean"].data == exported.params[12:].tobytes()
    assert arrays["backbone"].data == BACKBONE.tobytes()
    about = exported.about
    assert (about["task"], about["round"], about["digest"]) == (
        "custom(a:b)",
        "2",
        f"{fold.model.digest:016x}",
    )


def test_constants_that_the_log_has_not_come_from_a_base(tmp_path: Path) -> None:
    begun(tmp_path, constants=()).log.close()
    exported = export(tmp_path)
    with pytest.raises(
        LayoutError, match=r"does not have the 1 constant arrays .*\(backbone, …\).* with --base$"
    ):
        exported.arrays()
    assert (
        exported.arrays({"module.backbone": Array("int64", BACKBONE)})["backbone"].data == BACKBONE.tobytes()
    )
    with pytest.raises(LayoutError, match="constant array backbone has other values than the run's"):
        exported.arrays({"backbone": Array("int64", BACKBONE + 1)})


def test_log_without_a_layout_gives_one_array(tmp_path: Path) -> None:
    of_version_1(tmp_path / "run")
    before = contents(tmp_path / "run")
    exported = export(tmp_path / "run", 3)
    assert list(exported.arrays()) == ["parameters"] and exported.arrays()["parameters"].shape == (6,)
    assert contents(tmp_path / "run") == before, "an older log is not upgraded"


def test_log_that_a_killed_server_left_is_read_as_it_is(tmp_path: Path) -> None:
    fold = begun(tmp_path / "run")
    seen = train(fold, 5)
    shutil.copytree(tmp_path / "run", tmp_path / "left")
    fold.log.close()
    before = contents(tmp_path / "left")
    assert before["run.db-wal"]
    assert export(tmp_path / "left").params.tobytes() == seen[-1][1]
    assert contents(tmp_path / "left") == before


def test_folder_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    fold = begun(tmp_path / "run")
    seen = train(fold, 3)
    fold.log.close()
    (tmp_path / "run" / "run.lock").unlink()
    assert export(tmp_path / "run").params.tobytes() == seen[-1][1]
    assert list(contents(tmp_path / "run")) == ["run.db"]


def test_another_run_starts_from_the_float32_values(tmp_path: Path) -> None:
    fold = begun(tmp_path)
    train(fold, 3)
    fold.log.close()
    exported = export(tmp_path)
    start = exported.start("here")
    assert start.vector(LAYOUT).tobytes() == exported.params.tobytes()
    other = constant_digest((BACKBONE + 1).tobytes())
    layout = Layout((*LAYOUT.arrays[:-1], replace(LAYOUT.arrays[-1], digest=other)))
    with pytest.raises(LayoutError, match=r"^--init here: the constant array backbone has other"):
        start.vector(layout)


# ---- what cannot be read -------------------------------------------------------------------------------------


def test_log_of_a_server_that_runs_is_refused(tmp_path: Path) -> None:
    fold = begun(tmp_path)
    with pytest.raises(LogError, match=r"is in use by a server: wait for its end or stop it, and try again$"):
        export(tmp_path)
    fold.log.close()
    with (
        RunLog.open_read_only(tmp_path),
        RunLog.open_read_only(tmp_path),
        pytest.raises(LogError, match="is in use by another server"),
    ):
        RunLog.open(tmp_path)


def test_rounds_that_are_not_there_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 0)
    monkeypatch.setattr(fold_module, "SNAPSHOT_FACTOR", 0)
    monkeypatch.setattr(fold_module, "KEEP_LOG_BYTES", 0)
    fold = begun(tmp_path)
    seen = train(fold, 4)
    fold.log.close()
    with pytest.raises(LogError, match=r"^round 5 is not there yet: the run in .* has 4 rounds$"):
        export(tmp_path, 5)
    with pytest.raises(
        LogError, match=r"^the model after round 2 can no longer be computed: rounds before 4 were"
    ):
        export(tmp_path, 2)
    assert export(tmp_path, 4).params.tobytes() == seen[4][1]
    assert export(tmp_path, 0).params.tobytes() == INITIAL.tobytes(), "the initial model is always kept"


def test_run_without_a_model_is_refused(tmp_path: Path) -> None:
    RunLog.create(tmp_path, CONFIG, b"a run").close()
    with pytest.raises(LogError, match="holds a run that has no model yet: start its server and workers"):
        export(tmp_path)
    with pytest.raises(LogError, match="holds no run log"):
        export(tmp_path / "none")
