"""Settings: the file first, flags over it, and nothing dropped in silence."""

from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import COMMAND_KEYS, KINDS, RunConfig, load_config
from gradwire.deploy import cli
from gradwire.deploy.commands import run as local
from gradwire.deploy.config_file import key_of
from gradwire.deploy.run.launch import Request

TASK = {"task": "synthetic(dim=3)"}


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_override_the_file_whichever_way_the_rate_is_spelt(tmp_path: Path) -> None:
    path = written(tmp_path, 'task = "synthetic(dim=3)"\nlr = 0.1\n')
    assert load_config(path, {}).optimizer == "sgd(lr=0.1)"
    assert load_config(path, {"optimizer": "sgd(lr=0.7)"}).optimizer == "sgd(lr=0.7)"
    assert load_config(path, {"lr": 2}).optimizer == "sgd(lr=2.0)"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({**TASK, "lr": 0.1, "optimizer": "sgd(momentum=0.9)"}, "lr and optimizer"),
        ({**TASK, "lr": "fast"}, "lr is 'fast', expected a number"),
        ({}, "no task"),
        ({**TASK, "rouns": 3}, "did you mean rounds"),
        ({"tsk": "synthetic(dim=3)"}, "did you mean task"),
        ({**TASK, "quorum": 2}, "set deadline"),
        ({**TASK, "seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_meant_is_one_line(flags: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(None, flags)
    assert "\n" not in str(caught.value)


def test_the_stored_form_is_the_same_configuration() -> None:
    config = RunConfig(task="mlp(digits, hidden=8)", deadline=1.5, quorum=2)
    assert RunConfig.from_json(config.to_json()) == config


def options(command: str) -> list[Any]:
    """The options of a command that a file may give: all but those that ask or name the file."""
    found = cli.COMMANDS[command].command(command).params
    return [option for option in found if key_of(option) not in ("help", "config")]


@pytest.mark.parametrize("command", ["run", "server"])
def test_every_flag_has_its_key(command: str) -> None:
    keys = {key_of(option) for option in options(command)}
    assert keys <= {*KINDS, *COMMAND_KEYS, "lr"}, "add the flag's name to COMMAND_KEYS"


def test_every_key_is_a_flag() -> None:
    flags = {key_of(option) for command in ("run", "server") for option in options(command)}
    assert flags == {*KINDS, *COMMAND_KEYS, "lr"}


def asked_for(monkeypatch: pytest.MonkeyPatch, *words: str) -> Request:
    """What ``gradwire run`` asks of the launcher."""
    requests: list[Request] = []
    monkeypatch.setattr(local, "launch", lambda request: requests.append(request) or 0)
    assert cli.call(["run", *words]) == 0
    return requests[0]


EVERYTHING = """
task = "custom(mine:Median)"
processes = 3
json = "out.json"
state_dir = "runs/one"
keep_state = true
allow_task = ["mine:Median"]
verbose = true
listen = "127.0.0.1:7000"
"""


def test_the_commands_flags_come_from_the_file_and_the_command_line_overrides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, EVERYTHING)
    request = asked_for(monkeypatch, "--config", str(path))
    assert (request.processes, request.json_to, request.state_dir) == (3, "out.json", Path("runs/one"))
    assert request.keep_state and request.verbose and request.allow_task == ("mine:Median",)
    assert load_config(path, {}).task == "custom(mine:Median)"
    request = asked_for(monkeypatch, "--processes", "2", "--json", "-", "--config", str(path))
    assert (request.processes, request.json_to, request.state_dir) == (2, "-", Path("runs/one"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("processes = true", "processes is True, expected a whole number"),
        ('processes = "3"', "processes is '3', expected a whole number"),
        ("json = 3", "json is 3, expected text"),
        ("keep_state = 1", "keep_state is 1, expected true or false"),
        ('allow_task = "mine:Median"', "expected [text"),
        ("rounds = 2.5", "rounds is 2.5, expected a whole number"),
        ("procesess = 3", "did you mean processes?"),
        ("config = 'x'", "unknown setting 'config'"),
        ("task = ", "is not TOML"),
    ],
)
def test_a_wrong_value_in_the_file_is_one_line(
    line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f'task = "mlp(digits)"\n{line}\n' if line != "task = " else line)
    assert cli.call(["run", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
