"""The programs in examples/ run, stay short, and are described."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
QUICK = {"codec_basics.py"}  # the others start processes
NEEDS_A_RUN = {"audit_log.py"}
MAX_LINES = 60


def run(*words: str | Path) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in PROGRAMS
        if name not in NEEDS_A_RUN
    ],
)
def test_example_runs(name: str) -> None:
    if "import torch" in (EXAMPLES / name).read_text(encoding="utf-8"):
        pytest.importorskip("torch")
    assert run(EXAMPLES / name).strip()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["cross_polytope(repeats=100)", "float32"])
def test_audit_finds_the_digest_of_the_report(tmp_path: Path, codec: str) -> None:
    folder = tmp_path / "run"
    report = run(
        "-m", "gradwire.deploy.start", "run", "--task", "softmax(digits)", "--codec", codec, "--workers", "4",
        "--processes", "1", "--rounds", "12", "--optimizer", "sgd(lr=0.1, momentum=0.9)", "--state-dir", folder,
    )  # fmt: skip
    digest = re.search(r"digest ([0-9a-f]{16})", report)
    assert digest is not None
    assert digest[1] in run(EXAMPLES / "audit_log.py", folder)
    with closing(sqlite3.connect(folder / "run.db")) as db, db:
        db.execute("UPDATE rounds SET payloads = zeroblob(length(payloads)) WHERE round = 5")
    damaged = [sys.executable, EXAMPLES / "audit_log.py", folder]
    done = subprocess.run(damaged, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1 and "table rounds is damaged: 5" in done.stderr


def test_examples_are_short_and_described() -> None:
    described = re.findall(
        r"^## (\w+\.py)$", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(described) == PROGRAMS and len(PROGRAMS) >= 4
    for name in set(PROGRAMS) - NEEDS_A_RUN:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= MAX_LINES, name
