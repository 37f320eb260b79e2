"""Point sets in users' files: given to every process by a flag, named by digest in specs, the same at both ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradwire import register_points
from gradwire.common.errors import ConfigError
from gradwire.common.training.point_files import read_points
from gradwire.deploy import cli

TRIANGLE = [[4.0, 0.0], [-2.0, 4.0], [-2.0, -4.0]]
AXES = 2 * np.vstack([np.eye(4), -np.eye(4)])
RUN = [
    "run",
    "--task",
    "least_squares(samples=32, dim=4)",
    "--workers",
    "2",
    "--processes",
    "2",
    "--rounds",
    "3",
]


def gradwire(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradwire.deploy.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "axes.npy", AXES)
    np.save(tmp_path / "triangle.npy", np.array(TRIANGLE))
    np.save(tmp_path / "short.npy", AXES / 4)
    return tmp_path


# ---- digests and files -------------------------------------------------------------------------------------


def test_digest_is_of_shape_and_float32_values(folder: Path) -> None:
    digest = register_points(AXES)
    assert digest == read_points(folder / "axes.npy")
    same = [
        AXES.astype(">f4"),
        np.asfortranarray(AXES),
        AXES.astype(np.int64),
        AXES.tolist(),
        AXES * (1 + 1e-9),
        -AXES * -1.0,
    ]
    assert {register_points(array) for array in same} == {digest}
    others = [AXES[::-1], AXES * (1 + 1e-6), np.vstack([AXES, AXES]), AXES.T.reshape(16, 2)]
    assert digest not in {register_points(array) for array in others}


def test_digest_stays_as_it_is() -> None:
    """It is in specs, logs and fingerprints; the formula is in ``known_points.digest_of``."""
    assert register_points(TRIANGLE) == "sha256:22147ce47988565dbfd2519ea9fc43fd"


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.ones(3), r"shape \(3,\) and dtype float64, expected numbers \[points, coordinates\]"),
        (np.array([["a"]]), "dtype <U1, expected numbers"),
        (np.ones((4, 4)), "4 points of 4 coordinates, expected at least 5"),
        (np.array([[0.0], [np.nan]]), r"not a finite float32, at \[1, 0\]"),
        (np.array([[0.0], [1e39]]), r"not a finite float32, at \[1, 0\]"),
        (np.ones((70_000, 4)), "280,000 values, expected at most 262,144"),
    ],
)
def test_arrays_that_are_no_point_sets(array: np.ndarray, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", array)
    with pytest.raises(ConfigError, match=f"mine.npy: .*{says}"):
        read_points(tmp_path / "mine.npy")


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("1 2 3\n")
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object))
    np.savez(tmp_path / "several.npz", a=np.ones(3))
    for name in ("text.npy", "objects.npy", "several.npz"):
        with pytest.raises(
            ConfigError, match=f"{name} is no .npy file of numbers .*: write it with numpy.save"
        ):
            read_points(tmp_path / name)
    for path in (tmp_path / "missing.npy", tmp_path):
        with pytest.raises(ConfigError, match=r"cannot be read: (No such file|Is a directory)"):
            read_points(path)


# ---- commands ----------------------------------------------------------------------------------------------


def called(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert cli.call(words) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_what_a_set_can_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(folder / "triangle.npy")
    row = json.loads(called(capsys, "points", file, "--json"))
    assert row["digest"] == register_points(TRIANGLE)
    assert (row["points"], row["dim"], row["index_bits"]) == (3, 2, 2)
    assert row["reach"] == pytest.approx(2) and row["contains_unit_ball"] is True and row["usable"]
    assert row["variance"] == pytest.approx(55 / 3) and row["variance_is_bound"] is False
    assert row["epsilon"] == pytest.approx(np.log(3))
    assert row["variance"] > row["lower_bound"] == pytest.approx(np.pi**2 / 8 - 1)  # arcs of a quarter
    assert row["radius"] ** 2 - 1 >= row["radius_bound"] == pytest.approx(1)
    assert 1 < row["least_bits"] < np.log2(3)
    shown = called(capsys, "points", file)
    assert (
        row["digest"] in shown and "inside the hull, which reaches 2 " in shown and "1.099 per draw" in shown
    )


def test_a_set_that_is_neither_proven_nor_refuted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(5).standard_normal((80, 7))
    np.save(folder / "many.npy", 4 * x / np.linalg.norm(x, axis=1)[:, None])
    row = json.loads(called(capsys, "points", str(folder / "many.npy"), "--json"))
    assert row["contains_unit_ball"] is None and row["usable"] and row["reach"] is None
    assert 0 < row["reach_at_least"] < 1 < row["reach_at_most"] and row["largest_gauge"] > 1
    assert row["epsilon"] is None and row["private_variance"] > row["variance"]
    assert "not refuted: it ends at 1." in called(capsys, "points", str(folder / "many.npy"))


def test_a_set_that_cannot_be_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(folder / "short.npy")
    assert "multiply the points by 4.000004" in " ".join(called(capsys, "points", file, code=1).split())
    row = json.loads(called(capsys, "points", file, "--json", code=1))
    assert row["contains_unit_ball"] is False and row["codec"] is None and row["variance"] is None


def test_plan_and_list_know_the_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest, file = register_points(AXES), str(folder / "axes.npy")
    words = ["plan", "--task", RUN[2], "--bits", "64", "--points", file, "--json"]
    rows = {row["family"]: row for row in json.loads(called(capsys, *words))["rows"]}
    assert rows["points"]["codec"] == f"points(digest={digest}, repeats=21, gain=bound(bound=1.0))"
    assert (
        rows["points"]["command"].endswith(f" --points {file}") and "--points" not in rows["cuq"]["command"]
    )
    assert rows["points"]["radius_bound"] >= rows["points"]["lower_bound"] > 0
    private = json.loads(called(capsys, *words, "--epsilon", "2"))["rows"]
    found = [row for row in private if row["family"] == "points" and digest in row["codec"]]
    assert len(found) == 1 and found[0]["codec"].startswith("private(") and found[0]["epsilon_per_push"] <= 2
    listed = json.loads(called(capsys, "codecs", "--dim", "4", "--points", file, "--json"))
    sent = next(row for row in listed if row["name"] == "cross_polytope")
    assert sent["variance"] == 3 and 0 < sent["lower_bound"] < sent["radius_bound"]


# ---- runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [False, True])
def test_server_and_workers_train_with_it(folder: Path, private: bool) -> None:
    """Over gRPC, in processes of their own, and resumed: each is given the file."""
    digest = register_points(AXES)
    codec = f"private(rr(2.0), points({digest}))" if private else f"points({digest}, repeats=8)"
    words = [*RUN, "--codec", codec, "--points", "axes.npy", "--state-dir", "run"]
    done = gradwire(folder, *words)
    assert done.returncode == 0, done.stderr
    assert "predicted bytes were measured: yes" in done.stdout and "replicas agree: yes" in done.stdout
    again = gradwire(folder, *words[:-2], "--state-dir", "run")
    assert again.returncode == 0, again.stderr


def test_a_server_without_the_file(folder: Path) -> None:
    digest = register_points(AXES)
    for more in ([], ["--points", "triangle.npy"]):
        done = gradwire(folder, *RUN, "--codec", f"points({digest})", *more)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"gradwire: points: no point set {digest} here, where ")
        given = f"there is only {register_points(TRIANGLE)}" if more else "none was given"
        assert given in done.stderr
        assert "pass --points FILE" in done.stderr


def test_a_worker_with_another_file(folder: Path) -> None:
    """Its own file does not have the digest that the server's spec names, so it computes and sends nothing."""
    np.save(folder / "other.npy", AXES * 1.5)
    digest = register_points(AXES)
    server = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "gradwire.deploy.cli",
                "server",
                "--listen",
                "127.0.0.1:0",
                "--progress",
                "json",
            ),
            *("--task", RUN[2], "--workers", "1", "--codec", f"points({digest})", "--points", "axes.npy"),
            *("--rounds", "3", "--state-dir", "served"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        address = next(
            event["address"] for event in map(json.loads, server.stdout) if event["event"] == "listening"
        )
        worker = ["worker", "--server", address, "--name", "site"]
        for more in ([], ["--points", "other.npy"]):
            done = gradwire(folder, *worker, *more)
            assert done.returncode == 2, done.stderr
            assert (
                f"points: no point set {digest} here" in done.stderr and "pass --points FILE" in done.stderr
            )
        assert gradwire(folder, *worker, "--points", "axes.npy").returncode == 0
        assert server.wait() == 0
    finally:
        server.kill()
        server.communicate()
