"""The command line itself: help, errors, exit codes, and what is imported for them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gradwire.common.errors import ByteMismatchError, ConfigError, DataError, NotFiniteError, Unavailable
from gradwire.deploy import cli
from gradwire.deploy.commands import codecs
from gradwire.deploy.exit_codes import CommandFailed, run_command

runner = CliRunner()


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and sub-command, by the words that call it."""
    for name, entry in cli.COMMANDS.items():
        yield (name,)
        yield from ((name, sub) for sub in getattr(entry.load(), "commands", {}))


def loaded(words: tuple[str, ...]) -> Any:
    command = cli.COMMANDS[words[0]].load()
    for word in words[1:]:
        command = command.commands[word].load()
    return command


@pytest.mark.parametrize("words", [(), *commands()], ids=" ".join)
def test_help_ends_with_an_example(words: tuple[str, ...]) -> None:
    result = runner.invoke(cli.app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    heading = max(i for i, line in enumerate(lines) if line in ("Example:", "Examples:"))
    examples = lines[heading + 1 :]
    assert examples and all(line.startswith(f"gradwire {' '.join(words)}".strip()) for line in examples)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_explains_every_option(words: tuple[str, ...]) -> None:
    unexplained = [param.name for param in loaded(words).params if not getattr(param, "help", None)]
    assert not unexplained


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_shows_every_flag_in_full(words: tuple[str, ...]) -> None:
    """At 80 columns texts are wrapped, and nothing is cut."""
    output = runner.invoke(cli.app, [*words, "--help"], env={"COLUMNS": "80"}, terminal_width=80).output
    shown = "".join(output.split())
    for param in loaded(words).params:
        for flag in (*param.opts, *param.secondary_opts):
            assert not flag.startswith("-") or flag in output
        if param.param_type_name == "option":
            assert "".join(param.help.split()) in shown


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_and_version_import_nothing_heavy() -> None:
    heavy = [
        "numpy",
        "torch",
        "sklearn",
        "scipy",
        "grpc",
        "rich",
        "gradwire.server",
        "gradwire.worker",
        "gradwire.common.codecs",
    ]
    program = f"""
import sys
from gradwire.deploy import cli
assert cli.call(["--help"]) == 0 and cli.call(["--version"]) == 0
loaded = [name for name in {heavy} if name in sys.modules]
assert not loaded, loaded
"""
    done = python(program)
    assert done.returncode == 0, done.stderr
    assert "\ngradwire " in done.stdout


def test_help_lists_every_command() -> None:
    output = runner.invoke(cli.app, ["--help"]).output
    for name, entry in cli.COMMANDS.items():
        summary, _ = entry.documentation
        assert f"{name} " in output and summary and summary in output


@pytest.mark.parametrize("group", ["bench", "data"])
def test_no_line_of_a_list_is_cut(group: str) -> None:
    output = runner.invoke(cli.app, [group, "--help"]).output
    lines = output[output.index("Commands:") : output.index("Example")].splitlines()[1:]
    assert lines and not [line for line in lines if line.endswith("...")]


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call([]) == 2
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["codecx"], "no such command 'codecx'. Did you mean 'codecs'? (see gradwire --help)"),
        (["run", "--wrokers", "3"], "no such option: --wrokers"),
        (["codecs", "--dim", "none"], "(see gradwire codecs --help)"),
        (["run"], "no task: pass --task"),
        (["run", "--task", "mlp(digits"], "a closing ) is missing"),
        (["run", "--task", "mlp(digits)", "--codec", "cross"], "unknown codec 'cross'"),
        (["run", "--task", "mlp(digits)", "--codec", "float32(bits=3)"], "float32 has no argument 'bits'"),
        (["run", "--task", "mpl(digits)"], "did you mean mlp?"),
        (["run", "--task", "mlp(digist)"], "did you mean digits?"),
        (["run", "--task", "mlp(digits)", "--optimizer", "sgd(speed=2)"], "sgd has no argument 'speed'"),
        (
            ["run", "--task", "mlp(digits)", "--workers", "2", "--processes", "3"],
            "processes is 3, expected 1 to 2",
        ),
        (["run", "--task", "mlp(digits)", "--processes", "0"], "processes is 0, expected 1 to 4"),
        (["run", "--task", "custom(a.b:c)"], "pass --allow-task a.b:c"),
        (["run", "--task", "mlp(digits)", "--json", "no/such/folder/out.json"], "its folder does not exist"),
        (["run", "--config", "no-such.toml"], "cannot read the configuration no-such.toml"),
        (["run", "--task", "synthetic(dim=999999999999)"], "choose a smaller one"),
        (["run", "--task", f"synthetic(dim={10**30})"], "is beyond 64 bits"),
        (["worker", "--server", "127.0.0.1:1", "--count", "-1"], "invalid value for '--count'"),
        (["worker", "--server", "127.0.0.1:1", "--count", "9999999999"], "invalid value for '--count'"),
        (["worker", "--server", "127.0.0.1:1", "--workers", "0-99999999999"], "at most 1048576 workers"),
        (["worker", "--server", "127.0.0.1:1", "--workers", "9" * 5000], "at most 1048576 workers"),
        (["worker", "--server", "127.0.0.1:1", "--workers", "3-1"], "are empty"),
        (["worker", "--server", "127.0.0.1:1", "--retry-for", "nan"], "invalid value for '--retry-for'"),
        (["bench", "encode", "--dim", "-5"], "invalid value for '--dim'"),
        (["bench", "encode", "--dim", "999999999999"], "choose a smaller one"),
        (["bench", "server-round", "--dim", "0"], "invalid value for '--dim'"),
        (["data", "fetch", "digits", "minst"], "no data set is called 'minst': did you mean mnist?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("gradwire: ") and captured.err.count("\n") == 1, captured.err
    assert message in captured.err and not captured.out


def raising(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2), (DataError("x"), 2), (ByteMismatchError("x"), 1), (Unavailable("x"), 1),
        (NotFiniteError("x"), 1), (CommandFailed("x", 7), 7), (MemoryError("x"), 1), (KeyboardInterrupt(), 130),
        (typer.Abort(), 130), (typer.BadParameter("x"), 2),
    ],
)  # fmt: skip
def test_exit_codes(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADWIRE_DEBUG", raising=False)
    assert run_command(raising(error)) == code


def test_a_failure_shows_the_lines_that_led_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(raising(CommandFailed("worker-3: no such data", 2, ("a log line",)))) == 2
    assert capsys.readouterr().err == "  a log line\ngradwire: worker-3: no such data\n"


def test_an_error_of_several_lines_is_printed_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(raising(ConfigError("a\n  b")))
    assert capsys.readouterr().err == "gradwire: a b\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()))


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWIRE_DEBUG", "")
    with pytest.raises(ConfigError):
        cli.call(["--debug", "run"])
    assert os.environ["GRADWIRE_DEBUG"] == "1"  # for the processes of a run


def test_what_a_command_returns_is_the_exit_code() -> None:
    assert [run_command(lambda value=value: value) for value in (None, 0, 1, "text")] == [0, 0, 1, 0]


@pytest.mark.parametrize("words", [["codecs"], ["--help"]], ids=" ".join)
def test_a_reader_that_leaves_is_no_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    program = f"import sys; from gradwire.deploy import cli; sys.exit(cli.call({words}))"
    done = subprocess.run([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "describe", lambda cls, dim: raising(KeyboardInterrupt())())
    assert cli.call(["codecs"]) == 130
