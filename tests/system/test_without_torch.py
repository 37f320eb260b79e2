"""torch is an extra: the core, the server and the NumPy tasks run where it is not installed."""

import subprocess
import sys

HIDE_TORCH = """
import importlib.machinery, sys
real = importlib.machinery.PathFinder
class Without(real):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == "torch" else real.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(real)] = Without
from gradwire.worker.tasks import build_task
"""
EVERYTHING_ELSE = """
import numpy as np
from gradwire.common.codecs import codecs, parse
from gradwire.common.randomness import SystemCoins
import gradwire.deploy.commands.server, gradwire.deploy.commands.worker, gradwire.deploy.commands.run
for family in codecs().values():
    example = next(iter(family.examples()))
    codec = parse(example.spec, example.dim)
    shared = 7 if codec.shared_randomness else None
    codec.decode(codec.encode(np.zeros(codec.dim), SystemCoins(), shared=shared), shared=shared)
task = build_task("mlp(digits, hidden=4)", workers=2, seed=0)
assert task.gradient(task.initial(), round=0, worker=1).value.shape == (task.dim,)
"""


def test_all_but_the_torch_task_runs_without_torch() -> None:
    code = HIDE_TORCH + EVERYTHING_ELSE
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_torch_task_names_the_missing_extra() -> None:
    code = HIDE_TORCH + "build_task('torch(a.b:c)', workers=1, seed=0, allow_import=['a.b:c'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode != 0 and "pip install 'gradwire[torch]'" in done.stderr
