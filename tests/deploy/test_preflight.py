"""What `gradwire run` refuses, or looks up, before it starts anything."""

from dataclasses import replace
from pathlib import Path

import pytest

from gradwire.common.codecs import registry
from gradwire.common.errors import (
    BudgetError,
    ConfigError,
    DataError,
    LogError,
    PrivacyError,
    SpecError,
    TaskError,
)
from gradwire.common.privacy.budget import Run
from gradwire.common.training.config import RunConfig
from gradwire.common.training.record import RoundRecord
from gradwire.deploy import cli
from gradwire.deploy.options import RunOptions
from gradwire.deploy.preflight import check, check_names
from gradwire.deploy.run import placement
from gradwire.deploy.run.launch import server_arguments, worker_arguments
from gradwire.deploy.run.placement import processes_for
from gradwire.deploy.stored_run import resolve, stored_run
from gradwire.server.log.notes import DONE_PREFIX
from gradwire.server.log.run_log import RunLog
from gradwire.server.serving import open_log
from gradwire.worker.privacy import Ledger
from gradwire.worker.tasks import build_task
from tests.common.codecs.toys import PrivateToy
from tests.server.log_victim import RESOLVED

STORED = RunConfig(task="mlp(digits)", workers=7, rounds=33)


def new_run(folder: Path) -> Path:
    RunLog.create(folder, STORED, b"0123456789abcdef").close()
    return folder


def test_a_stored_run_needs_no_flags_and_is_left_free(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    assert resolve({}, stored_run(folder)) == STORED
    RunLog.open(folder).close()  # the server can have it


def test_flags_stand_beside_a_stored_run(tmp_path: Path) -> None:
    # Whether they fit it is for the server to say.
    config = resolve({"task": "mlp(digits)", "workers": 2}, stored_run(new_run(tmp_path / "run")))
    assert config.workers == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"seed": 50}, r"run holds a run of mlp\(digits\): give no settings"),
        ({"rounds": 50, "workers": 2}, "or all of its own, --task too"),
        ({"rounds": 0}, "rounds is 0"),
    ],
)
def test_settings_without_a_task_beside_a_stored_run(
    tmp_path: Path, flags: dict[str, int], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve(flags, stored_run(new_run(tmp_path / "run")))


def test_rounds_alone_continue_a_stored_run(tmp_path: Path) -> None:
    stored = stored_run(new_run(tmp_path / "run"))
    assert stored is not None
    config = resolve({"rounds": 50}, stored)
    assert config == replace(STORED, rounds=50)
    over = replace(stored, finished=True, over=True)
    grown = over.continued(config)
    assert (grown.config, grown.finished, grown.over) == (config, False, False)
    assert over.continued(STORED) is over


def test_a_new_folder_needs_a_task(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no task"):
        resolve({}, stored_run(tmp_path / "run"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"codec": "crosspolytope"}, SpecError, "did you mean cross_polytope"),
        ({"codec": "cross_polytope(repeat=3)"}, SpecError, "did you mean repeats"),
        ({"codec": "cross_polytope(repeats=0)"}, SpecError, "repeats"),
        ({"optimizer": "sgd(lr=-1.0)"}, SpecError, "lr"),
        ({"task": "mlp(digits, hiden=3)"}, SpecError, "did you mean hidden"),
        ({"task": "mlp(nowhere)"}, DataError, "nowhere"),
        ({"task": "custom(my.model:make)"}, TaskError, "--allow-task my.model:make"),
    ],
)
def test_refusals(settings: dict[str, str], error: type[Exception], message: str) -> None:
    config = RunConfig(**{"task": "mlp(digits)", **settings})  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        check(config, ())


def test_code_that_is_allowed_is_not_imported_here() -> None:
    check(RunConfig(task="custom(no.such.module:make)"), ["no.such.module:make"])


def test_what_needs_coordinates_that_nobody_knows_is_left_until_the_task_is_built() -> None:
    check(RunConfig(task="custom(a.b:c)", codec="cross_polytope(repeats=0)"), ["a.b:c"])


def test_a_model_that_no_memory_holds_is_refused_before_it_is_made() -> None:
    with pytest.raises(ConfigError, match=r"999,999,999,999 coordinates.* choose a smaller one"):
        check(RunConfig(task="synthetic(dim=999999999999)"), ())


@pytest.mark.parametrize(
    "spec",
    ["synthetic(dim=7)", "least_squares(samples=40, dim=5)", "softmax(digits)", "mlp(digits, hidden=3)"],
)
def test_the_coordinates_known_beforehand_are_those_of_the_task(spec: str) -> None:
    built = build_task(spec, workers=2, seed=0)
    assert check_names(RunConfig(task=spec)) == built.dim == len(built.initial())


def test_the_catalogue_knows_the_coordinates_of_data_that_is_not_here() -> None:
    assert check_names(RunConfig(task="mlp(mnist)")) == 795_010
    assert check_names(RunConfig(task="logistic(a9a)")) == 123
    assert check_names(RunConfig(task="torch(a.b:c)")) is None


SERVER = ["server", "--listen", "127.0.0.1:0", "--progress", "none"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "mpl(digits)"], "did you mean mlp?"),
        (["--task", "mlp(nowhere)"], "no data set is called 'nowhere'"),
        (["--task", "mlp(digits)", "--codec", "cross_polytope(repeats=0)"], "repeats"),
        (["--task", "mlp(digits)", "--optimizer", "sgd(speed=2)"], "sgd has no argument 'speed'"),
        (["--task", "mlp(digits, hidden=8)", "--dim", "5"], "has 610 coordinates: leave it out"),
        (["--task", "mlp(digits)", "--summary", "no/folder/x.json"], "its folder does not exist"),
        (["--listen", "198.18.255.254:1", "--insecure", "--task", "mlp(digits)"], "cannot listen on"),
        ([], "no task"),
    ],
)
def test_a_server_that_is_refused_leaves_no_run_behind(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert cli.call([*SERVER, "--state-dir", str(folder), *words]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("gradwire: ")]
    assert len(said) == 1 + ("--insecure" in words) and message in said[-1]  # plaintext has a line of its own
    assert not folder.exists()


def test_a_run_without_a_model_gives_way_to_another(tmp_path: Path) -> None:
    with open_log(tmp_path, STORED) as log:
        first = log.run_id
        log.assign("somebody", (0, 1))
    with open_log(tmp_path, replace(STORED, rounds=34)) as log:
        assert (log.config.rounds, log.assignments()) == (34, {})
        assert log.run_id != first
        log.set_initial(bytes(8), RESOLVED)
    with RunLog.open(tmp_path) as log:
        assert log.config == replace(STORED, rounds=34)  # it is in the file, not in the object alone
    with pytest.raises(ConfigError, match="its rounds is 34, given was 33"):
        open_log(tmp_path, STORED)


def test_a_run_that_has_begun_is_never_overwritten(tmp_path: Path) -> None:
    with open_log(tmp_path, STORED) as log:
        log.set_initial(bytes(8), RESOLVED)
        with pytest.raises(LogError, match="has begun"):
            log.begin_anew(STORED, bytes(16))


# ---- privacy -----------------------------------------------------------------------------------------------

PRIVATE = RunConfig(task="least_squares(samples=64, dim=24)", codec="private_toy", rounds=10)


@pytest.fixture
def _private_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._REGISTRY._classes, "private_toy", PrivateToy)


@pytest.mark.usefixtures("_private_codec")
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weighting": "examples"}, PrivacyError, "use equal"),
        ({"keep_best": "accuracy"}, PrivacyError, "sends no metrics by which a best model could be kept"),
        ({"codec": "cross_polytope", "max_epsilon": 8.0}, PrivacyError, "is not private: `gradwire plan"),
        ({"max_epsilon": 2.0}, BudgetError, "costs epsilon 2.45, more than max_epsilon 2"),
        ({"max_epsilon": 2.0, "delta": 1e-5}, BudgetError, "more than max_epsilon 2"),
    ],
)
def test_a_run_that_its_workers_would_refuse_is_not_started(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    check_names(replace(PRIVATE, max_epsilon=2.5))
    with pytest.raises(error, match=message):
        check_names(replace(PRIVATE, **change))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-epsilon", "0"], "max_epsilon is 0, expected above 0"),
        (["--max-epsilon=-1"], "max_epsilon is -1, expected above 0"),
        (["--max-epsilon", "nan"], "max_epsilon is nan, expected above 0"),
        (["--max-epsilon", "1e9"], "at most 10000"),
        (["--max-epsilon", "8", "--delta", "0"], "delta is 0, expected inside"),
        (["--max-epsilon", "8", "--delta", "1"], "delta is 1, expected inside"),
        (["--max-epsilon", "8", "--delta", "nan"], "delta is nan, expected inside"),
        (["--delta", "1e-5"], "delta without max_epsilon"),
    ],
)
@pytest.mark.parametrize("command", ["run", "server"])
def test_a_budget_without_meaning_is_one_line(
    command: str, flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call([command, "--task", PRIVATE.task, "--state-dir", str(tmp_path / "s"), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-epsilon", "8"], "--max-epsilon needs --state-dir"),
        (["--delta", "1e-5"], "--delta without --max-epsilon"),
        (["--max-epsilon", "0", "--state-dir", "s"], "max-epsilon is 0, expected above 0"),
        (["--max-epsilon", "inf", "--state-dir", "s"], "max-epsilon is inf, expected above 0"),
        (["--max-epsilon", "8", "--delta", "2", "--state-dir", "s"], "delta is 2, expected inside"),
    ],
)
def test_a_workers_budget_without_meaning_is_one_line(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.call(["worker", "--server", "127.0.0.1:1", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not list(tmp_path.iterdir())


def test_the_budget_reaches_the_workers(tmp_path: Path) -> None:
    config = RunConfig(task="mlp(digits)", max_epsilon=4.0, delta=1e-5, report_metrics=True)
    flags = ("--max-epsilon=4.0", "--delta=1e-05", "--report-metrics")
    assert set(flags) < set(server_arguments(config, RunOptions(), tmp_path))
    options = RunOptions(allow_task=("a.b:c",))
    assert worker_arguments(config, options, tmp_path, 1, range(2, 4)) == (
        "--name", "worker-1", "--workers", "2-3", "--state-dir", str(tmp_path / "worker-1"),
        "--retry-for", "300", "--allow-task", "a.b:c", *flags,
    )  # fmt: skip


def processes(folder: Path, asked: int | None = None) -> int:
    return processes_for(4, asked, folder, stored_run(folder))


def test_memories_stay_with_the_process_that_hosts_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(task="mlp(digits)", codec="top_k(k=3)", feedback="error", workers=4, rounds=1)
    for process, worker in ((0, 0), (0, 1), (1, 2), (1, 3)):
        (tmp_path / f"worker-{process}").mkdir(exist_ok=True)
        (tmp_path / f"worker-{process}" / f"record-{worker}").touch()
    assert processes(tmp_path, 2) == 2
    monkeypatch.setattr(placement, "cores", lambda: 3)
    assert processes(tmp_path) == 2
    assert processes(tmp_path / "new") == 3
    for asked, lost in (
        (1, "worker 2 is with worker-1"),
        (3, "worker 3 is with worker-1"),
        (4, "worker 1 is"),
    ):
        with pytest.raises(ConfigError, match=f"{lost}.*pass --processes"):
            processes(tmp_path, asked)
    with RunLog.create(tmp_path, config, bytes(16)) as log:
        log.append(RoundRecord(0, (0,), (b"",), (1,)), None)
    assert processes(tmp_path, 1) == 1  # finished: no round needs the memories any more


def test_ledgers_stay_with_the_process_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(task="mlp(digits)", codec="sign", workers=4, rounds=1)
    with RunLog.create(tmp_path, config, bytes(16)):
        pass
    for process, workers in ((0, {0, 1}), (1, {2, 3})):
        ledger = Ledger(tmp_path / f"worker-{process}")
        ledger.admit(Run(bytes(16), b"codec", 0.5, frozenset(workers)))
        ledger.spend(0, dict.fromkeys(workers, b"payload"))
        ledger.close()
    monkeypatch.setattr(placement, "cores", lambda: 3)
    assert processes(tmp_path) == 2
    assert processes(tmp_path, 2) == 2
    for asked, first in ((1, 0), (3, 2), (4, 0)):
        with pytest.raises(ConfigError, match=f"ledger of worker {first} is with .* pass --processes as"):
            processes(tmp_path, asked)
    (tmp_path / "worker-1").rename(tmp_path / "worker-3")
    with pytest.raises(ConfigError, match=r"worker-3, which would not .* nor of any other number"):
        processes(tmp_path)
    (tmp_path / "worker-3").rename(tmp_path / "worker-1")
    with RunLog.open(tmp_path) as log:
        log.append(RoundRecord(0, (0,), (b"",), (1,)), None)
    assert processes(tmp_path) == 2  # finished, and nobody has said so
    with RunLog.open(tmp_path) as log:
        for name, ids in (("worker-0", (0, 1)), ("worker-1", (2, 3))):
            log.assign(name, ids)
            log.put(f"{DONE_PREFIX}{name}", "0")
    assert processes(tmp_path, 4) == 4  # nobody is needed any more
    (tmp_path / "run.db").unlink()
    with RunLog.create(tmp_path, config, bytes(range(16))):
        pass
    assert processes(tmp_path) == 3  # another run asks for no ledger of before
