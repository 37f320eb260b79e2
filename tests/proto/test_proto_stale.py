"""The committed protobuf code is what `make proto` makes of the committed definitions."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = ["grpcio-tools", "protobuf"]


def generated_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*_pb2*.py*")}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("proto")
    # Under `make -j` the outer make's flags would reach this one.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    command = ["make", "--silent", "generate", f"OUT={out}", f"GENERATOR={sys.executable}"]
    made = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return generated_in(out / "gradwire" / "proto")


@pytest.mark.parametrize("tool", PINNED)
def test_generator_is_the_pinned_one(tool: str) -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"{tool}=={version(tool)}" in pins, f"constraints.txt pins another {tool}: run `make install`"


def test_definitions_are_there(fresh: dict[str, str]) -> None:
    assert (ROOT / "proto" / "wire.proto").is_file()
    assert {"wire_pb2.py", "wire_pb2.pyi"} <= set(fresh)


def test_generated_code_is_fresh(fresh: dict[str, str]) -> None:
    committed = generated_in(ROOT / "proto")
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    assert not stale, f"stale, missing or left over in proto/: {stale}; run `make proto`"
