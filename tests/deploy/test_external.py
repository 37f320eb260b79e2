"""Codecs and optimizers of a user's own file: allowed by name on every command line, trained with, never private."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import SpecError

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_codec.py"
MINE = '''
from dataclasses import dataclass

import numpy as np
import own_codec
from gradwire import Optimizer


@dataclass(frozen=True, kw_only=True)
class Half(own_codec.Half):
    """The example's codec; states an epsilon that it does not have."""

    epsilon = 1.0


@dataclass(frozen=True, kw_only=True)
class Signed(Optimizer):
    """A step of fixed length in the direction of the update's signs."""

    lr: float = 0.01
    name = "signed"

    def step(self, params, state, update, round_):
        dense = update if isinstance(update, np.ndarray) else update.dense()
        params -= np.float32(self.lr) * np.sign(dense).astype(np.float32)
'''
RUN = ["run", "--task", "softmax(digits)", "--workers", "2", "--processes", "1", "--rounds", "3"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text(
        "from gradwire import Codec\n\n\nclass Half(Codec):\n    name = 'half'\n"
    )
    return tmp_path


def gradwire(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradwire.deploy.cli", *words],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_allowed_codec_and_optimizer_train(folder: Path) -> None:
    allowed = ["--allow-codec", "mine:Half", "--allow-optimizer", "mine:Signed"]
    done = gradwire(folder, *RUN, "--codec", "half", "--optimizer", "signed(lr=0.02)", *allowed)
    assert done.returncode == 0, done.stderr
    assert "predicted bytes were measured: yes" in done.stdout and "replicas agree: yes" in done.stdout


def test_codec_that_is_not_allowed_is_one_line(folder: Path) -> None:
    done = gradwire(folder, *RUN, "--codec", "half")
    assert done.returncode == 2
    assert done.stderr.startswith("gradwire: unknown codec 'half'")
    assert "pass --allow-codec package.module:Class" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("mine:Nothing", "cannot import mine:Nothing"),
        ("missing:Half", "No module named 'missing'"),
        ("mine:CODEC", "cannot import mine:CODEC"),
        ("broken:Half", "broken.Half is not a codec"),
        ("mine", "expected package.module:name"),
    ],
)
def test_unusable_target_is_one_line(folder: Path, target: str, says: str) -> None:
    done = gradwire(folder, "codecs", "--dim", "3", "--allow-codec", target)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1


def test_list_of_codecs_shows_it(folder: Path) -> None:
    done = gradwire(folder, "codecs", "--dim", "3", "--json", "--allow-codec", "mine:Half")
    assert done.returncode == 0 and '"name": "half"' in done.stdout


@pytest.mark.parametrize("spec", ["half", "rotated(1, half)", "subsample(0.5, half)"])
def test_stated_epsilon_of_an_external_codec_does_not_count(folder: Path, spec: str) -> None:
    program = (
        "from gradwire.common.codecs import allow_codecs, parse\n"
        "allow_codecs(['mine:Half'])\n"
        f"codec = parse({spec!r}, 8)\n"
        "print(codec.epsilon, codec.private, codec.secret_coins)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1.0", "False", "False"]


def test_worker_with_a_budget_refuses_an_external_codec(folder: Path) -> None:
    words = ["--codec", "half", "--allow-codec", "mine:Half", "--max-epsilon", "8", "--state-dir", "state"]
    done = gradwire(folder, *RUN, *words)
    assert done.returncode == 2 and "half is not private" in done.stderr


def test_wire_alone_imports_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    for text in ("half", "mine:Half", "rotated(1, half)"):
        with pytest.raises(SpecError):
            parse(text, 8)
    assert "mine" not in sys.modules
