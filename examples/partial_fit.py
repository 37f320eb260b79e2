"""A scikit-learn model that is trained by partial_fit: its arrays are exchanged, everything else stays as it is."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import gradwire

GRADWIRE = Path(sys.executable).with_name("gradwire")
SERVER = (
    "server", "--task", "own", "--workers", "3", "--rounds", "25", "--codec", "drive",
    "--listen", "127.0.0.1:0", "--progress", "json", "--state-dir",
)  # fmt: skip


def train(address: str, site: int) -> None:
    """The script of one site."""
    pixels, digits = load_digits(return_X_y=True)
    test = slice(1300, None)
    x, y = pixels[site:1300:3] / 16, digits[site:1300:3]
    classifier = SGDClassifier(loss="log_loss", random_state=site)
    classifier.partial_fit(x[:1], y[:1], classes=np.arange(10))  # makes the arrays

    def evaluate() -> tuple[dict[str, float], int]:
        return {"accuracy": classifier.score(pixels[test] / 16, digits[test])}, len(digits[test])

    def model() -> dict[str, np.ndarray]:
        return {"coef": classifier.coef_, "intercept": classifier.intercept_}

    with gradwire.join(address, model(), evaluate=evaluate, name=f"site-{site}") as run:
        while True:  # the run ends the loop
            classifier.partial_fit(x, y)  # one epoch
            run.step(model(), examples=len(x))


if len(sys.argv) == 3:  # one of the sites
    train(sys.argv[1], int(sys.argv[2]))
else:  # the server, and the three sites
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([GRADWIRE, *SERVER, folder], stdout=subprocess.PIPE, text=True)
        address = json.loads(server.stdout.readline())["address"]
        sites = [subprocess.Popen([sys.executable, __file__, address, str(site)]) for site in range(3)]
        *_, finished = map(json.loads, server.stdout)
        assert not any(process.wait() for process in (server, *sites))
    summary = finished["summary"]
    bits, accuracy = summary["payload_bits_per_push"], summary["metrics"]["accuracy"]
    print(f"three sites, {bits} bits per update: accuracy {accuracy:.3f}")
    assert accuracy > 0.85
