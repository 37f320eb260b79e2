"""Flags and keys of the configuration file, both made from dataclass fields."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig, load_config
from gradwire.common.training.settings import described, settings_of
from gradwire.deploy import cli
from gradwire.deploy.commands import run
from gradwire.deploy.flags import as_flags, configured, given_settings, read_settings
from gradwire.deploy.options import CONFIGURABLE, RunOptions, ServerOptions


@pytest.mark.parametrize(("name", "options"), [("run", RunOptions), ("server", ServerOptions)])
def test_the_flags_of_a_command_are_its_fields(name: str, options: type) -> None:
    shown = {param.name: param for param in cli.COMMANDS[name].load().params}
    assert list(shown) == [*settings_of(RunConfig), *settings_of(options), "config"]
    for key, setting in (settings_of(RunConfig) | settings_of(options)).items():
        flag = f"--{key.replace('_', '-')}"
        assert flag in shown[key].opts and shown[key].help.startswith(setting.about.help)
        assert shown[key].secondary_opts == ([f"--no-{flag[2:]}"] if setting.kind is bool else [])


def test_no_option_has_the_name_of_a_setting() -> None:
    assert not [name for cls in CONFIGURABLE for name in settings_of(cls) if name in settings_of(RunConfig)]


@dataclass(frozen=True, kw_only=True)
class LongerConfig(RunConfig):
    """A run with one field more."""

    momentum: float = field(default=0.5, metadata=described("Momentum", least=0))


@dataclass(frozen=True, kw_only=True)
class ToyOptions:
    port: int | None = field(default=None, metadata=described("Port", unset="any", short="-p"))


def test_a_new_field_is_a_flag_and_a_key(tmp_path: Path) -> None:
    seen: list[Any] = []

    @configured(ToyOptions, LongerConfig)
    def command(settings: dict[str, Any], options: ToyOptions) -> None:
        """Do it."""
        seen.append((settings, options.port))

    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    file = tmp_path / "run.toml"
    file.write_text("momentum = 1\nport = 3\nrounds = 7\n")
    for words in (
        ["--momentum", "0.9", "-p", "2"],
        ["--config", str(file)],
        ["--config", str(file), "--port=4"],
    ):
        assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert seen == [
        ({"momentum": 0.9}, 2), ({"momentum": 1.0, "rounds": 7}, 3), ({"momentum": 1.0, "rounds": 7}, 4),
    ]  # fmt: skip
    output = CliRunner().invoke(app, ["--help"]).output
    assert "--momentum" in output and "Momentum [0.5]" in output and "Port [any]" in output


def asked_for(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[dict[str, Any], RunOptions]:
    """What ``gradwire run`` asks of the launcher."""
    requests: list[tuple[dict[str, Any], RunOptions]] = []
    monkeypatch.setattr(run, "launch", lambda *request: requests.append(request) or 0)
    assert cli.call(["run", *words]) == 0
    return requests[0]


EVERYTHING = """
task = "custom(mine:Median)"
lr = 1
processes = 3
json = "out.json"
state_dir = "runs/one"
keep_state = true
allow_task = ["mine:Median"]
verbose = true
listen = "127.0.0.1:7000"
progress = "none"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_command_line_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(written(tmp_path, EVERYTHING))
    settings, options = asked_for(monkeypatch, "--config", path)
    assert settings == {"task": "custom(mine:Median)", "optimizer": "sgd(lr=1.0)"}
    assert options == RunOptions(
        processes=3, json="out.json", state_dir=Path("runs/one"), keep_state=True, allow_task=("mine:Median",),
        verbose=True,
    )  # fmt: skip
    words = (
        "--processes",
        "2",
        "--json",
        "-",
        "--no-verbose",
        "--optimizer",
        "sgd(lr=2.0)",
        "--config",
        path,
    )
    settings, options = asked_for(monkeypatch, *words)
    assert (options.processes, options.json, options.verbose) == (2, "-", False)
    assert options.state_dir == Path("runs/one") and settings["optimizer"] == "sgd(lr=2.0)"


def test_a_file_gives_the_settings_of_a_run(tmp_path: Path) -> None:
    path = written(tmp_path, EVERYTHING)
    assert read_settings(path) == {"task": "custom(mine:Median)", "lr": 1}
    with pytest.raises(ConfigError, match="did you mean rounds"):
        read_settings(written(tmp_path, "ruonds = 3"))


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
        ("lisen = 3", "did you mean listen?"),
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


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(task="synthetic(dim=3)"),
        RunConfig(
            task="mlp(digits)", deadline=1.5, quorum=2, report_metrics=True, max_epsilon=0.1, delta=1e-5
        ),
        RunConfig(
            task="mlp(digits)", optimizer="sgd(lr=0.30000000000000004)", downlink="sum", evaluate_every=0
        ),
    ],
)
def test_a_configuration_survives_a_command_line(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = asked_for(monkeypatch, *as_flags(given_settings(config)))
    assert load_config(settings) == config
