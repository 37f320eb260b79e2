"""The model with the best evaluation is kept, durably and whenever its report arrives."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError, LogError
from gradwire.common.training.best import KeepBest, parse_keep_best
from gradwire.common.training.config import RunConfig
from gradwire.server import fold as fold_module
from gradwire.server.best import MAX_COPIES, BestModel
from gradwire.server.export import BEST, export_model
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from tests.common.downlinks.rounds import record_of
from tests.system.harness import run_hosts, whole_run

DIM = 6
INITIAL = np.linspace(-1, 1, DIM, dtype=np.float32)
CONFIG = RunConfig(
    task="custom(a:b)", codec="cross_polytope(repeats=3)", optimizer="averaged(sgd(lr=0.25))", workers=2, rounds=12,
    evaluate_every=2, keep_best="score",
)  # fmt: skip


class Server:
    """A fold with its best model, which can be closed and opened again; and what was evaluated after each round."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.warnings = folder, list[str]()
        self.log = RunLog.create(folder, replace(CONFIG, **changes), b"a run")
        self.fold = Fold(self.log)
        self.fold.begin(INITIAL.tobytes(), self.fold.codec_at(DIM))
        self.best = BestModel(self.fold, lambda event: self.warnings.append(event["message"]))
        self.reported = [self.fold.model.reported.tobytes()]

    def commit(self, rounds: int) -> None:
        for _ in range(rounds):
            self.fold.append(record_of(self.fold.codec, self.fold.model.round, (0, 1)))
            self.best.keep_if_due()
            self.reported.append(self.fold.model.reported.tobytes())

    def report(self, round_: int, score: float, name: str = "score") -> None:
        self.best.record(round_, {name: score}, {"loss": None, "metrics": {name: score}})

    def restart(self) -> None:
        self.log.close()
        self.log = RunLog.open(self.folder)
        self.fold = Fold(self.log)
        self.best = BestModel(self.fold, lambda event: self.warnings.append(event["message"]))

    @property
    def kept(self) -> int | None:
        """The round whose parameters the log has as the best, bit for bit."""
        found = self.log.best()
        if found is None:
            return None
        assert found[1] == self.reported[found[0]]
        assert self.best.summary is not None and self.best.summary["round"] == found[0]
        return found[0]


def kept_after(server: Server, reports: Iterable[tuple[int, float]]) -> list[int | None]:
    seen = []
    for round_, score in reports:
        server.report(round_, score)
        seen.append(server.kept)
    return seen


def test_best_so_far_is_kept(tmp_path: Path) -> None:
    server = Server(tmp_path)
    assert kept_after(server, [(0, 0.5)]) == [0]
    server.commit(2)
    assert kept_after(server, [(2, 0.75)]) == [2]
    server.commit(3)
    assert kept_after(server, [(4, 0.75)]) == [2], "the first of equal ones"
    server.commit(3)
    assert kept_after(server, [(6, float("nan")), (8, 0.8)]) == [2, 8]
    assert server.best.summary == {"metric": "score", "round": 8, "value": 0.8}


def test_smaller_may_be_better(tmp_path: Path) -> None:
    server = Server(tmp_path, keep_best="score:min")
    server.commit(4)
    assert kept_after(server, [(0, 0.5), (2, 0.75), (4, 0.25)]) == [0, 0, 4]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("round_", [0, 3, 4, 12])
def test_late_report_keeps_the_model_that_was_evaluated(round_: int, restarted: bool, tmp_path: Path) -> None:
    """Of rounds that wait for their report, of others, of those that had to make room, and after a restart."""
    server = Server(tmp_path)
    server.commit(12)
    if restarted:
        server.restart()
    server.report(round_, 0.5)
    assert server.kept == round_ and not server.warnings


def test_copies_are_few(tmp_path: Path) -> None:
    server = Server(tmp_path, evaluate_every=1)
    server.commit(12)
    assert len(server.best._copies) == MAX_COPIES
    server.report(12, 0.5)
    assert not server.best._copies


def test_best_is_remembered_by_the_next_server(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.commit(4)
    server.report(2, 0.75)
    server.restart()
    assert server.best.summary == {"metric": "score", "round": 2, "value": 0.75}
    assert kept_after(server, [(4, 0.5)]) == [2]
    server.commit(2)
    assert kept_after(server, [(6, 0.9)]) == [6]


def test_failed_write_leaves_the_earlier_best(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.report(0, 0.5)
    server.commit(2)
    server.log._file._db.set_authorizer(lambda action, *_: 1 if action == 18 else 0)  # denies INSERT
    with pytest.raises(LogError):
        server.report(2, 0.75)
    server.log._file._db.set_authorizer(None)
    server.restart()
    assert server.kept == 0 and 2 not in server.log.metrics()


def test_model_that_is_gone_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 0)
    monkeypatch.setattr(fold_module, "SNAPSHOT_FACTOR", 0)
    monkeypatch.setattr(fold_module, "KEEP_LOG_BYTES", 0)
    server = Server(tmp_path)
    server.commit(12)
    assert kept_after(server, [(3, 0.9), (5, 0.95), (10, 0.5)]) == [None, None, 10]
    (warning,) = server.warnings
    assert (
        "the model with the best score so far is not kept: the model after round 3 can no longer" in warning
    )


def test_metric_that_is_not_evaluated_is_named_once(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.report(0, 0.5, "accuracy")
    server.report(2, 0.5, "accuracy")
    assert server.warnings == ["the task evaluates accuracy, not score: no best model is kept"]
    assert server.log.metrics()[2]["metrics"] == {"accuracy": 0.5}
    with pytest.raises(LogError, match="has kept no best model: no evaluation of it had score"):
        export_model(server.log, BEST)


def test_best_model_is_exported(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.commit(5)
    server.report(2, 0.5)
    exported = export_model(server.log, BEST)
    assert (exported.round, exported.params.tobytes()) == (2, server.reported[2])
    last = export_model(server.log, BEST, last_iterate=True)
    assert last.round == 2 and last.params.tobytes() != server.reported[2]
    assert last.params.tobytes() == export_model(server.log, 2, last_iterate=True).params.tobytes()


def test_run_without_the_setting_keeps_none(tmp_path: Path) -> None:
    server = Server(tmp_path, keep_best="")
    server.commit(2)
    server.report(2, 0.5)
    assert server.log.best() is None and server.best.summary is None and not server.best._copies
    with pytest.raises(LogError, match="has kept no best model: it has no --keep-best"):
        export_model(server.log, BEST)


# ---- whole runs ----------------------------------------------------------------------------------------------


def test_run_keeps_what_its_worker_evaluated_best(tmp_path: Path) -> None:
    config = RunConfig(
        task="softmax(digits, batch=16)", codec="cross_polytope(repeats=40)", optimizer="averaged(sgd(lr=1.0))",
        workers=2, rounds=12, evaluate_every=3, keep_best="accuracy",
    )  # fmt: skip
    summary, _ = run_hosts(config, tmp_path, [(0,), (1,)])
    evaluated = {row["round"]: row["accuracy"] for row in summary["history"] if "accuracy" in row}
    best = max(evaluated, key=lambda round_: (evaluated[round_], -round_))
    assert summary["best"] == {"metric": "accuracy", "round": best, "value": evaluated[best]}
    with RunLog.open(tmp_path) as log:
        assert export_model(log, BEST).params.tobytes() == export_model(log, best).params.tobytes()
    longer = whole_run(replace(config, rounds=20), tmp_path, [(0,), (1,)])
    assert longer["best"]["value"] >= evaluated[best]


# ---- the setting ---------------------------------------------------------------------------------------------


def test_rule_is_read_from_text() -> None:
    assert parse_keep_best("accuracy") == parse_keep_best("accuracy:max") == KeepBest("accuracy")
    assert parse_keep_best("test_loss:min") == KeepBest("test_loss", smaller=True)


@pytest.mark.parametrize("text", [":min", "loss:least", " loss", "loss :min"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a metric, such as accuracy or test_loss:min"):
        replace(CONFIG, keep_best=text)
