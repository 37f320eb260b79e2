"""A loop in plain NumPy, with momentum of its own: three sites, each a process, train a softmax regression."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import gradwire

GRADWIRE = Path(sys.executable).with_name("gradwire")
SERVER = (
    "server", "--task", "own", "--workers", "3", "--rounds", "40", "--weighting", "size",
    "--codec", "ratq", "--listen", "127.0.0.1:0", "--progress", "json", "--state-dir",
)  # fmt: skip


def probabilities(model: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Softmax of the scores, row by row."""
    scores = x @ model["weight"].T + model["bias"]
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def train(address: str, site: int) -> None:
    """The script of one site, which has the images of some digits only."""
    pixels, digits = load_digits(return_X_y=True)
    x, test_x, digits, test_digits = pixels[:1300] / 16, pixels[1300:] / 16, digits[:1300], digits[1300:]
    x, y = (array[digits % 3 == site] for array in (x, np.eye(10)[digits]))
    rng = np.random.default_rng(site)
    model = {"weight": np.zeros((10, 64)), "bias": np.zeros(10)}
    velocity = {name: np.zeros_like(array) for name, array in model.items()}
    with gradwire.join(address, model, every=10, size=len(x), name=f"site-{site}") as run:
        while True:  # the run ends the loop
            rows = rng.integers(len(x), size=32)
            p = probabilities(model, x[rows])
            error = (p - y[rows]) / len(rows)
            for name, gradient in {"weight": error.T @ x[rows], "bias": error.sum(axis=0)}.items():
                velocity[name] = 0.9 * velocity[name] - 0.02 * gradient
                model[name] += velocity[name]
            run.step(loss=-np.log(p[y[rows] == 1]).mean(), examples=len(rows))
    accuracy = np.mean(probabilities(model, test_x).argmax(axis=1) == test_digits)
    print(f"site-{site}: trained on {len(x)} images, accuracy {accuracy:.3f} on digits of all kinds")
    assert accuracy > 0.8


if len(sys.argv) == 3:  # one of the sites
    train(sys.argv[1], int(sys.argv[2]))
else:  # the server, and the three sites
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([GRADWIRE, *SERVER, folder], stdout=subprocess.PIPE, text=True)
        address = json.loads(server.stdout.readline())["address"]
        sites = [subprocess.Popen([sys.executable, __file__, address, str(site)]) for site in range(3)]
        *_, finished = map(json.loads, server.stdout)
        assert not any(process.wait() for process in (server, *sites))
