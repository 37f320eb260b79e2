"""What the documents show works: doctests, code blocks, commands, links, paths, terms and numbers."""

import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gradwire.bench.bytes_to_loss import Case, Curve
from gradwire.deploy.cli import app
from gradwire.deploy.units import human
from tests.documents import PAGES, ROOT, Block, anchors, blocks, commands, links, name_of, prose, read, typed

ROOMS = ("common", "server", "worker", "deploy", "bench")
DOCS = ROOT / "docs"
GLOSSARY = DOCS / "glossary.md"
TERMS = re.findall(r"^### (.*)$", read(GLOSSARY), re.MULTILINE)
MAX_WORDS = 900
# Pages for readers who have the papers or write another implementation: bold marks subjects there, not terms.
REFERENCE = {"theory.md", "protocol.md", "payloads.md", "log-format.md", "rounds.md"}

every_page = pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PAGES])


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


# ---- code blocks -------------------------------------------------------------------------------------------


def write_files(page: Path, folder: Path) -> None:
    """Save the blocks that are marked as files."""
    for block in blocks(page):
        if block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")


def run(words: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{words[-1]}\n{done.stdout}{done.stderr}"


def is_program(block: Block) -> bool:
    """`<!-- not run: why -->` before a block leaves it out; reference pages are in tests/docs."""
    return block.kind == "python" and not block.mark.startswith(("file: ", "not run: "))


def is_session(block: Block) -> bool:
    """`<!-- run -->` before a block, or `<!-- run: torch -->` where it needs an optional package."""
    return block.kind == "console" and re.match(r"run\b", block.mark) is not None


def pages_with(wanted: Callable[[Block], bool]) -> pytest.MarkDecorator:
    found = [page for page in PAGES if page.name not in REFERENCE and any(map(wanted, blocks(page)))]
    return pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in found])


@pages_with(is_program)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    for block in filter(is_program, blocks(page)):
        run([sys.executable, "-c", block.text], tmp_path)


@pytest.mark.slow
@pages_with(is_session)
def test_marked_console_blocks_run(page: Path, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    for block in filter(is_session, blocks(page)):
        for needed in block.mark.partition(": ")[2].split():
            pytest.importorskip(needed)
        for line in typed(block):
            run(["bash", "-c", line], tmp_path)


# ---- commands ----------------------------------------------------------------------------------------------


@cache
def help_of(*command: str) -> str:
    """The help of a command without its examples."""
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0, f"gradwire {' '.join(command)}: there is no such command"
    return shown.output.partition("\nExample")[0]


def command_of(words: list[str]) -> tuple[str, ...]:
    """The command that words name, and the one within it where it is a group."""
    names = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
    command: tuple[str, ...] = ()
    while names and "COMMAND [ARGS]" in help_of(*command):
        command = (*command, names.pop(0))
    return command


@every_page
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands(page):
        command = command_of(words)
        shown = {word.partition("=")[0] for word in words if re.match(r"--\w", word)}
        known = {"--help", *re.findall(r"--[a-z-]+", help_of(*command) + help_of())}
        assert shown <= known, f"gradwire {' '.join(words)}: {shown - known}"


def test_the_readme_shows_what_continuous_integration_runs() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    for page in PAGES:
        shown = {
            line.split()[1] for block in blocks(page) for line in typed(block) if line.startswith("make ")
        }
        assert shown <= targets, name_of(page)
    runs = re.search(r"^make (.*)$", read(ROOT / ".ci" / "run"), re.MULTILINE)
    assert runs is not None
    readme = {
        line.split()[1] for block in blocks(ROOT / "README.md") for line in typed(block) if "make " in line
    }
    assert readme == {"demo", "test"} <= set(runs[1].split())


@pytest.mark.slow
def test_the_readme_shows_what_the_demo_prints() -> None:
    """All lines but those with times, or with bytes that the kernel counts."""
    (shown,) = (block.text for block in blocks(ROOT / "README.md") if "replicas agree" in block.text)
    done = subprocess.run(
        ["make", "-s", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    stable = [line for line in shown.splitlines()[1:] if not re.search(r"TCP bytes|rounds/s", line)]
    assert len(stable) > 10
    printed = {line.rstrip() for line in done.stdout.splitlines()}
    assert [line for line in stable if line.rstrip() not in printed] == []


# ---- links and paths ---------------------------------------------------------------------------------------


@every_page
def test_links_resolve(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        there = page.parent / target if target else page
        assert there.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{link}: no such heading"


@every_page
def test_paths_exist(page: Path) -> None:
    """Every path in backticks that begins with a folder of the project; words in capitals stand for a name."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"build", ".venv"}
    for path in re.findall(r"`([\w.-]+/[\w./-]*)`", prose(page)):
        parts = path.split("/")
        if parts[0] in folders and not any(part.partition(".")[0].isupper() for part in parts):
            assert (ROOT / path).exists(), f"{path} does not exist"


def test_every_page_is_in_the_index() -> None:
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert {path.resolve() for path in DOCS.glob("*.md")} - {DOCS / "README.md"} <= listed


def test_the_way_of_a_gradient_names_functions_that_exist() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| `([\w/]+\.py)` \| `(\w+)` \|$", read(DOCS / "architecture.md"), re.MULTILINE
    )
    assert len(rows) > 15
    for path, name in rows:
        assert re.search(rf"^\s*(?:async def|def|class) {name}\b", read(ROOT / path), re.MULTILINE), (
            path,
            name,
        )


# ---- words and numbers -------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    """Words outside fenced blocks, table cells included, link targets not."""
    text = re.sub(r"\]\([^)]*\)", "]", prose(ROOT / "README.md"))
    words = [word for word in text.split() if re.search(r"\w", word)]
    assert len(words) <= MAX_WORDS, len(words)


def test_glossary_is_sorted() -> None:
    assert sorted(set(TERMS), key=str.lower) == TERMS


@pytest.mark.parametrize("page", [pytest.param(p, id=name_of(p)) for p in PAGES if p.name not in REFERENCE])
def test_bold_terms_are_in_the_glossary(page: Path) -> None:
    """Bold words introduce a term, except those that begin an item of a list."""
    text = re.sub(r"^\s*(?:[-*]|\d+\.) \*\*.*?\*\*", "", prose(page), flags=re.MULTILINE)
    known = {term.lower() for term in TERMS}
    bold = {re.sub(r"[`.:]", "", term).lower() for term in re.findall(r"\*\*([^*\n]+)\*\*", text)}
    assert {term for term in bold if term not in known and term.removesuffix("s") not in known} == set()


def test_every_term_of_the_glossary_is_used() -> None:
    others = " ".join(read(page).lower() for page in PAGES if page != GLOSSARY)
    entries = re.split(r"^### ", read(GLOSSARY), flags=re.MULTILINE)[1:]
    text = others + " ".join(entry.partition("\n")[2].lower() for entry in entries)
    assert [term for term in TERMS if term.lower() not in text] == []


def test_the_page_of_bytes_to_loss_has_the_numbers_of_its_picture() -> None:
    measured = json.loads(read(ROOT / "bench" / "results" / "bytes-to-loss.json"))
    for c in measured["curves"]:
        curve = Curve(Case(**c["case"]), c["bytes_per_round"], tuple(c["losses"]), c["metrics"])
        needed = curve.bytes_to(measured["target"])
        assert needed is not None
        assert human(needed, "B") in read(ROOT / "bench" / "results" / "bytes-to-loss.md"), curve.case.title


def test_the_readmes_numbers_are_those_of_its_picture() -> None:
    document = json.loads(read(ROOT / "bench" / "results" / "papers" / "bytes-to-accuracy.json"))
    (table,) = [part["table"] for part in document["sections"][0]["parts"] if "table" in part]
    totals = {row[0]: row[table["columns"].index("bytes")] for row in table["rows"]}
    for scheme in ("float32, model sent back", "100 rotated signs, 50 local steps, log"):
        assert totals[scheme] in read(ROOT / "README.md"), scheme


def test_release_is_the_same_everywhere() -> None:
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]
    newest = re.search(r"^## \[([\d.]+)\]", read(ROOT / "CHANGELOG.md"), re.MULTILINE)
    cited = re.search(r"^version: (.*)$", read(ROOT / "CITATION.cff"), re.MULTILINE)
    assert newest is not None and cited is not None
    assert newest[1] == cited[1] == version


def test_files_for_other_tools_are_valid() -> None:
    workflow, hooks, citation = (
        yaml.safe_load(read(ROOT / name))
        for name in (".github/workflows/ci.yml", ".pre-commit-config.yaml", "CITATION.cff")
    )
    least = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["requires-python"].removeprefix(">=")
    job = workflow["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python"][0] == least
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert {repo["repo"] for repo in hooks["repos"]} == {"local"}  # nothing is downloaded
    assert citation["cff-version"] == "1.2.0" and len(citation["references"]) == 2
    assert {"message", "title", "authors"} <= citation.keys()
