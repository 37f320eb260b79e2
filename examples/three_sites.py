"""Three sites, each with a CSV of its own that no other process reads, train one classifier."""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

GRADWIRE = Path(sys.executable).with_name("gradwire")
# Sites differ in size and in how many of their tumours are malignant: 54 of 60, 60 of 150, 21 of 210.
SITES = ((54, 6), (60, 90), (21, 189))


def write(path: Path, rows: np.ndarray) -> None:
    """A CSV with a header line, one column per measurement, and the diagnosis."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*cancer.feature_names, "diagnosis"])
        table.writerows([*cancer.data[row].tolist(), cancer.target_names[cancer.target[row]]] for row in rows)


def train(folder: Path, data: str, workers: int) -> dict:
    """`gradwire run` with a process per site; its summary."""
    command = [
        GRADWIRE, "run", "--json", "-", "--task", "softmax(file, l2=0.001)",
        "--data", data, "--schema", "schema.toml", "--option", "test=test.csv", "--weighting", "size",
        "--workers", str(workers), "--codec", "cross_polytope(repeats=60)", "--lr", "0.5", "--rounds", "150",
    ]  # fmt: skip
    found = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(found.stdout)


cancer = load_breast_cancer()
shuffled = np.random.default_rng(0).permutation(len(cancer.data))
malignant, benign = (shuffled[cancer.target[shuffled] == label] for label in (0, 1))
with tempfile.TemporaryDirectory() as parent:
    folder = Path(parent)
    for number, (bad, good) in enumerate(SITES):
        write(folder / f"site-{number}" / "train.csv", np.concatenate([malignant[:bad], benign[:good]]))
        malignant, benign = malignant[bad:], benign[good:]
    write(folder / "test.csv", np.concatenate([malignant, benign]))
    # One site writes a schema from its file, and all use it: columns, classes and scaling must be the same.
    subprocess.run([GRADWIRE, "data", "schema", "site-1/train.csv"], cwd=folder, check=True)
    together = train(folder, "site-{process}/train.csv", workers=3)
    alone = train(folder, "site-0/train.csv", workers=1)
for who, summary in (("site 0 alone", alone), ("three sites together", together)):
    print(
        f"{who}: accuracy {summary['metrics']['accuracy']:.3f} on {len(malignant) + len(benign)} other patients"
    )
print(f"{together['payload_bits_per_push']} bits per payload instead of {32 * together['dim']}")
assert (
    together["metrics"]["accuracy"] > max(0.93, alone["metrics"]["accuracy"]) and together["replicas_agree"]
)
