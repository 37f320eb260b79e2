"""Privacy: how much error a private payload adds, and a worker that stops when its budget is spent."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import gradwire
from gradwire.common.randomness import SystemCoins

DIM, EPSILON, BUDGET = 650, 0.5, 4.0  # a payload costs 0.5, so the budget pays for 8 rounds
CODEC = f"private_top(epsilon={EPSILON})"

codec = gradwire.parse(CODEC, dim=DIM)
gradient = np.ones(DIM) / np.sqrt(DIM)
# Coins come from the operating system: seeded ones are refused, because they could be guessed.
payload = codec.encode(gradient, SystemCoins(), shared=1)
print(f"{codec.nbits} bits, epsilon {codec.epsilon:g} per payload")
for name, spec in (("no privacy", "cross_polytope"), ("private", CODEC)):
    variance = gradwire.parse(spec, dim=DIM).variance(norm=1.0)
    print(f"{name:>10}: squared error {variance:,.0f}; the mean of {variance:,.0f} payloads has 1")


def run(folder: Path, rounds: int) -> subprocess.CompletedProcess[str]:
    """A run under the budget; its worker processes keep their ledgers in the folder."""
    command = [
        Path(sys.executable).with_name("gradwire"), "run", "--state-dir", folder, "--json", folder.with_suffix(".json"),
        "--task", "softmax(digits)", "--codec", CODEC, "--workers", "2", "--processes", "1", "--lr", "0.01",
        "--rounds", str(rounds), "--max-epsilon", str(BUDGET),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


with tempfile.TemporaryDirectory() as parent:
    folder = Path(parent) / "run"
    allowed = run(folder, rounds=8)
    assert allowed.returncode == 0, allowed.stderr
    spent = json.loads(folder.with_suffix(".json").read_text())["privacy"]["spent"]["pure"]
    print(f"8 rounds spent {spent:g} of {BUDGET:g}")
    refused = run(Path(parent) / "longer", rounds=9)
    print(f"9 rounds, exit code {refused.returncode}: {refused.stderr.strip().splitlines()[-1]}")
    assert refused.returncode == 3
