"""Sites with their own files under a privacy budget that each of them enforces."""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from sklearn.datasets import load_breast_cancer

SITES, ROUNDS, EPSILON, BUDGET = 3, 5, 2.0, 10.0  # a payload costs 2, so the budget pays for 5 rounds
GRADWIRE = Path(sys.executable).with_name("gradwire")


def write(path: Path, rows: list[int]) -> None:
    """Some rows of the data as CSV."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow([*DATA.feature_names, "diagnosis"])
        csv.writer(file).writerows([*DATA.data[row], DATA.target_names[DATA.target[row]]] for row in rows)


def gradwire(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in the folder of the example."""
    return subprocess.run([GRADWIRE, *words], cwd=FOLDER, capture_output=True, text=True, check=False)


DATA = load_breast_cancer()
with tempfile.TemporaryDirectory() as parent:
    FOLDER = Path(parent)
    for site in range(SITES):
        write(FOLDER / f"site-{site}" / "train.csv", list(range(100 + site, len(DATA.data), SITES)))
    write(FOLDER / "public.csv", list(range(100)))
    # The schema, and so the scaling, comes from public rows: from a site's own it would not be private.
    assert gradwire("data", "schema", "public.csv", "--out", "schema.toml").returncode == 0
    run = (
        "run", "--task", "logistic(file)", "--data", "site-{process}/train.csv", "--schema", "schema.toml",
        "--workers", str(SITES), "--json", "-", "--max-epsilon", str(BUDGET),
        "--codec", f"private_top(epsilon={EPSILON}, bound=1.0)", "--optimizer", "averaged(sgd(lr=0.3))",
    )  # fmt: skip
    done = gradwire(*run, "--rounds", str(ROUNDS), "--state-dir", "runs")
    assert done.returncode == 0, done.stderr
    spent = json.loads(done.stdout)["privacy"]["spent"]["pure"]
    # The sites report neither losses nor metrics: whoever has the log evaluates the model, here on public rows.
    own = ("--data", "public.csv", "--option", "test=public.csv", "--schema", "schema.toml", "--json")
    measured = gradwire("model", "evaluate", "--state-dir", "runs", *own)
    assert measured.returncode == 0, measured.stderr
    accuracy = json.loads(measured.stdout)["metrics"]["accuracy"]
    print(f"epsilon {spent:g} of {BUDGET:g} spent per site, accuracy {accuracy:.3f}")
    longer = gradwire(*run, "--rounds", str(ROUNDS + 1), "--state-dir", "longer")
    print(f"one round more, exit code {longer.returncode}: {longer.stderr.strip().splitlines()[-1]}")
    assert longer.returncode == 3
