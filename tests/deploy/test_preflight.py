"""What `gradwire run` refuses, or looks up, before it starts anything."""

from pathlib import Path

import pytest

from gradwire.common.config import RunConfig
from gradwire.common.errors import ConfigError, DataError, SpecError, TaskError
from gradwire.deploy.preflight import check, resolve
from gradwire.server.log import RunLog

STORED = RunConfig(task="mlp(digits)", workers=7, rounds=33)


def stored_run(folder: Path) -> Path:
    RunLog.create(folder, STORED, b"0123456789abcdef").close()
    return folder


def test_flags_override_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('task = "mlp(digits)"\nrounds = 5\nworkers = 3\n')
    config = resolve(file, {"rounds": 6}, None)
    assert (config.task, config.rounds, config.workers) == ("mlp(digits)", 6, 3)


def test_a_stored_run_needs_no_flags_and_is_left_free(tmp_path: Path) -> None:
    folder = stored_run(tmp_path / "run")
    assert resolve(None, {}, folder) == STORED
    RunLog.open(folder).close()  # the server can have it


def test_flags_stand_beside_a_stored_run(tmp_path: Path) -> None:
    # Whether they fit it is for the server to say.
    config = resolve(None, {"task": "mlp(digits)", "workers": 2}, stored_run(tmp_path / "run"))
    assert config.workers == 2


def test_a_new_folder_needs_a_task(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no task"):
        resolve(None, {}, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"codec": "crosspolytope"}, SpecError, "did you mean cross_polytope"),
        ({"codec": "cross_polytope(repeat=3)"}, SpecError, "did you mean repeats"),
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


def test_what_needs_the_dimension_is_left_to_the_server() -> None:
    check(RunConfig(task="mlp(digits)", codec="cross_polytope(repeats=0)"), ())
