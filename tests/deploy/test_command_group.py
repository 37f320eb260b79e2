"""Commands are found by their files and by entry points, and imported only when they are called."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from gradwire.common.errors import ConfigError
from gradwire.deploy import cli, command_group
from gradwire.deploy.command_group import ENTRY_POINTS, CommandGroup, CommandModule, CommandTable

COMMAND = '''# A comment may come first.
"""Count words.

More about it.

Examples:
    toys count-words a
    toys count-words b
"""

print("imported")


def count_words(words: list[str]) -> int:
    """Count them."""
    return len(words)
'''


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandTable]:
    package = tmp_path / "toys"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text('"""Toys."""\n')
    (package / "count_words.py").write_text(COMMAND)
    (package / "inner" / "__init__.py").write_text(
        '"""A group.\n\nExamples:\n    toys inner count-words c\n"""\n'
    )
    (package / "inner" / "count_words.py").write_text(COMMAND)
    monkeypatch.syspath_prepend(tmp_path)
    yield CommandTable("toys")
    for name in [name for name in sys.modules if name.partition(".")[0] == "toys"]:
        del sys.modules[name]


def test_a_file_in_the_folder_is_a_command(toys: CommandTable, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(toys) == ["count-words", "inner"] and len(toys) == 2
    assert toys["count-words"].documentation == ("Count words.", ("toys count-words a", "toys count-words b"))
    assert capsys.readouterr().out == ""  # not imported yet
    command = toys["count-words"].load()
    assert capsys.readouterr().out == "imported\n"
    assert command.main(["a", "b", "c"], standalone_mode=False) == 3


def test_a_folder_in_the_folder_is_a_group(toys: CommandTable, capsys: pytest.CaptureFixture[str]) -> None:
    group = toys["inner"].load()
    assert isinstance(group, CommandGroup)
    group.main(["--help"], standalone_mode=False)
    output = capsys.readouterr().out
    assert "count-words  Count words." in output and "toys inner count-words c" in output
    assert "imported" not in output
    assert group.main(["count-words", "a"], standalone_mode=False) == 1


def installed(monkeypatch: pytest.MonkeyPatch, *added: EntryPoint) -> CommandTable:
    def found(group: str) -> list[EntryPoint]:
        assert group == ENTRY_POINTS
        return list(added)

    monkeypatch.setattr(command_group, "entry_points", found)
    return CommandTable("gradwire.deploy.commands", installed=True)


def test_an_installed_package_adds_a_command(toys: CommandTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table = installed(monkeypatch, EntryPoint("words", "toys.count_words:count_words", ENTRY_POINTS))
    assert set(table) == {"words", *CommandTable("gradwire.deploy.commands")}
    assert table["words"].documentation[0] == "Count words."
    assert table["words"].load().main(["a"], standalone_mode=False) == 1


def test_an_installed_package_cannot_replace_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    table = installed(monkeypatch, EntryPoint("run", "toys.count_words:count_words", ENTRY_POINTS))
    assert table["run"].module == dict(table)["run"].module == "gradwire.deploy.commands.run"


@pytest.mark.parametrize(
    ("target", "message"),
    [("nowhere_at_all:f", "No module named 'nowhere_at_all'"), ("toys.count_words:no", "has no no")],
)
def test_a_command_that_cannot_be_loaded_is_listed_and_named(
    target: str, message: str, toys: CommandTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = installed(monkeypatch, EntryPoint("broken", target, ENTRY_POINTS))
    assert table["broken"].listed().name == "broken"
    with pytest.raises(ConfigError, match=f"the command broken cannot be loaded: .*{message}"):
        table["broken"].load()


def test_a_module_without_a_docstring_has_no_summary(toys: CommandTable, tmp_path: Path) -> None:
    (tmp_path / "toys" / "bare.py").write_text("x = 'not a docstring'\n")
    assert CommandModule("bare", "toys.bare", "bare").documentation == ("", ())


def test_bench_is_an_entry_point() -> None:
    assert [point.value for point in entry_points(group=ENTRY_POINTS, name="bench")] == [
        "gradwire.bench.commands"
    ]
    assert "bench" in cli.COMMANDS and "bench" not in CommandTable("gradwire.deploy.commands")


def test_a_command_of_the_package_needs_no_look_at_others() -> None:
    program = (
        "from gradwire.deploy import cli, command_group\n"
        "def fail(group): raise AssertionError('looked up')\n"
        "command_group.entry_points = fail\n"
        "raise SystemExit(cli.call(['health', '--help']))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
