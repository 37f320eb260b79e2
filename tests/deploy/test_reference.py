"""docs/commands.md: as the commands are now, and complete."""

import re
from pathlib import Path
from typing import Any

import pytest

from gradwire.deploy import cli, reference
from gradwire.deploy.exit_codes import MEANINGS
from tests.deploy.test_cli import commands, loaded

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (gradwire [\w -]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
LEAVES = [words for words in commands() if not hasattr(loaded(words), "commands")]


def test_the_page_is_what_the_commands_say() -> None:
    assert reference.page() == PAGE, "docs/commands.md is stale: make docs"


def test_every_command_has_a_section() -> None:
    assert set(SECTIONS) == {f"gradwire {' '.join(words)}" for words in LEAVES}
    assert all(f"](#{name.replace(' ', '-')})" in PAGE for name in SECTIONS)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_flag_is_in_its_section_with_its_help(words: tuple[str, ...]) -> None:
    section, command = SECTIONS[f"gradwire {' '.join(words)}"], loaded(words)
    for param in command.params:
        rows = [line for line in section.splitlines() if line.startswith("|") and param.help in line]
        flags = [flag for flag in (*param.opts, *param.secondary_opts) if flag.startswith("-")]
        assert any(all(re.search(rf"`{flag}[` ]", row) for flag in flags) for row in rows), param.name


def test_every_example_is_shown() -> None:
    for words in LEAVES:
        entry: Any = cli.COMMANDS[words[0]]
        for word in words[1:]:
            entry = entry.load().commands[word]
        assert all(
            f"$ {line}\n" in SECTIONS[f"gradwire {' '.join(words)}"] for line in entry.documentation[1]
        )


def test_every_exit_code_is_explained() -> None:
    assert all(f"| {code} | {meaning} |" in PAGE for code, meaning in MEANINGS.items())
