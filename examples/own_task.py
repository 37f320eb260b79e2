"""Train a task of your own, in NumPy: `gradwire run` as a subprocess, its summary as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import gradwire

HERE = Path(__file__).parent


class Median:
    """The geometric median of 1,000 points, of which each worker has a share."""

    dim = 50

    def __init__(self, workers: int, seed: int) -> None:
        points = np.random.default_rng(seed).normal(loc=1.0, size=(1000, self.dim))
        self.shards = np.array_split(points, workers)

    def initial(self) -> np.ndarray:
        """Starting parameters, the same in every process."""
        return np.zeros(self.dim, np.float32)

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> gradwire.Gradient:
        """The gradient of the mean distance to this worker's points."""
        offset = params - self.shards[worker]
        distance = np.linalg.norm(offset, axis=1)
        value = (offset / distance[:, None]).mean(axis=0)
        return gradwire.Gradient(value, loss=distance.mean(), examples=len(offset))

    def evaluate(self, params: np.ndarray) -> dict[str, float]:
        """How far the parameters are from the centre of the distribution."""
        return {"distance": float(np.linalg.norm(params - 1.0))}


if __name__ == "__main__":
    command = [
        Path(sys.executable).with_name("gradwire"), "run", "--json", "-",
        "--task", "custom(own_task:Median)", "--allow-task", "own_task:Median",
        "--codec", "simq_plus(repeats=25, coding=l1_ball)", "--lr", "0.5",
        "--workers", "4", "--processes", "1", "--rounds", "60",
    ]  # fmt: skip
    found = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(HERE)}, stdout=subprocess.PIPE, check=True
    )
    summary = json.loads(found.stdout)
    first, last = summary["history"][0]["distance"], summary["metrics"]["distance"]
    print(f"distance to the centre: {first:.2f} before, {last:.2f} after {summary['rounds']} rounds")
    print(f"{summary['payload_bits_per_push']} bits per payload instead of {32 * summary['dim']}")
    assert last < 0.2 * first and summary["replicas_agree"]
