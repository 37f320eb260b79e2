"""What the documents show works: doctests of every module, and the README's code."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = ("common", "server", "worker", "deploy", "bench")


def modules() -> Iterator[str]:
    for room in ROOMS:
        for module in pkgutil.walk_packages([str(ROOT / room)], f"gradwire.{room}."):
            yield module.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_doctests(name: str) -> None:
    if "torch" in name:
        pytest.importorskip("torch")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readmes_codec_example_runs() -> None:
    exec(compile(python_blocks()[1], "README.md", "exec"), {})


def test_the_readmes_own_task_is_short_and_trains(tmp_path: Path) -> None:
    task = python_blocks()[0]
    assert len(task.strip().splitlines()) < 25
    (tmp_path / "mine.py").write_text(task, encoding="utf-8")
    command = re.search(r"\$ PYTHONPATH=\. gradwire (run --task 'custom.*)", README)
    assert command is not None
    shell = f"PYTHONPATH=. {sys.executable} -m gradwire.deploy.cli {command[1]}"
    done = subprocess.run(
        shell, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "replicas agree: yes" in done.stdout


def test_every_command_that_the_readme_shows_exists() -> None:
    from gradwire.deploy.cli import COMMANDS

    shown = set(re.findall(r"^\$ (?:PYTHONPATH=\. |\.venv/bin/)?gradwire (\w+)", README, re.MULTILINE))
    assert shown <= COMMANDS.keys() and {"run", "server", "worker", "codecs", "data", "bench"} <= shown


def test_links_in_the_documents_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
