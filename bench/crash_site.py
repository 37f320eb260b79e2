"""One site of ``gradwire bench crashes``: its own loop, and a journal of the models that it was given.

Run as ``python -m gradwire.bench.crash_site SERVER NAME FOLDER DIM``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from gradwire.common.training.digest import digest_of
from gradwire.worker.join import join


def main(server: str, name: str, folder: str, dim: str) -> None:
    """Train until the run is finished; every update is random, so that no two are equal."""
    random = np.random.default_rng(int.from_bytes(os.urandom(16)))
    model = {"w": np.zeros(int(dim), np.float32)}
    journal = os.open(Path(folder) / f"{name}.journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with join(server, model, name=name, state_dir=Path(folder) / name, retry_for=120.0) as run:
        while True:
            os.write(journal, f"{run.round} {digest_of(model['w']):016x} {os.getpid()}\n".encode())
            model["w"] += random.standard_normal(model["w"].size, np.float32)
            run.step(model, loss=1.0)
    os.write(journal, f"{run.round} {digest_of(model['w']):016x} {os.getpid()}\n".encode())
    assert run.finished


if __name__ == "__main__":
    main(*sys.argv[1:])
