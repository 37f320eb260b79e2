"""What a server, or the site's own limits, refuse: one error with one line, and nothing left over."""

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire
from gradwire.common.errors import (
    BudgetError,
    ConfigError,
    GradwireError,
    LayoutError,
    PrivacyError,
    SpecError,
    TaskError,
)
from gradwire.common.training.config import RunConfig
from gradwire.common.transport.address import parse_address
from gradwire.common.transport.tls import server_tls, worker_tls
from gradwire.deploy import cli
from gradwire.worker.process import WorkerOptions, WorkerProcess
from tests.join.scripts import Script
from tests.join.serving import Server, own

PRIVATE = "private(mechanism=rr(epsilon=1.0), codec=cross_polytope(repeats=1))"


# A program that is refused.
JOIN = """
try:
    gradwire.join(ADDRESS, {"w": np.zeros(3)}, retry_for=0.3, progress=False, **OPTIONS)
except gradwire.common.errors.GradwireError as error:
    note("refused", kind=type(error).__name__, says=str(error))
"""


def zeros(size: int = 3) -> dict[str, Any]:
    return {"w": np.zeros(size, np.float32)}


def refused(
    folder: Path, config: RunConfig, model: Any, kind: type[GradwireError], says: str, **options: Any
) -> Server:
    """Join, and step until it is refused."""
    with Server(folder / "run", config) as server:
        with pytest.raises(kind) as error:
            train(server, model, **options)
        assert re.fullmatch(says, str(error.value)), str(error.value)
        assert type(error.value) is kind and "\n" not in str(error.value)
    assert not any(event["event"] == "finished" for event in server.events)
    return server


def train(server: Server, model: Any, steps: int = 20, **options: Any) -> None:
    with gradwire.join(server.address, model, progress=False, **options) as run:
        for _ in range(steps):
            run.step(examples=2)


def test_a_run_whose_gradients_workers_compute(tmp_path: Path) -> None:
    config = RunConfig(task="least_squares(samples=8, dim=3)", workers=1, rounds=3)
    says = r"the run's task is least_squares\(samples=8, dim=3\), whose gradients gradwire worker computes: .*own.*"
    refused(tmp_path, config, zeros(), TaskError, says)


def test_a_model_that_is_not_the_runs(tmp_path: Path) -> None:
    """The first difference is named."""
    with Server(tmp_path / "run", own(rounds=3)) as server:
        with gradwire.join(server.address, zeros(), name="alice", progress=False) as run:
            run.step()
        says = (
            r"this site's model is not the run's: w float32 \[4\] trained here, w float32 \[3\] trained there"
        )
        with pytest.raises(LayoutError, match=says):
            gradwire.join(server.address, zeros(4), name="alice", progress=False)
        with gradwire.join(server.address, zeros(), name="alice", progress=False) as again:
            for _batch in again.batches([0]):
                again.step()
        # The one that was refused has not taken part.
        assert server.summary()["restarted"] == {"alice": 2}


@pytest.mark.slow
def test_sites_of_gradients_and_of_updates(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with Server(tmp_path / "run", own(rounds=3)) as server:
        gradwire.join(server.address, torch.nn.Linear(2, 1), name="alice", progress=False).leave()
        says = "the schema has 'exchanges = gradients' here, 'exchanges = updates' there"
        with pytest.raises(LayoutError, match=says):
            gradwire.join(server.address, torch.nn.Linear(2, 1), name="alice", gradients=True, progress=False)


def test_weights_by_size_need_a_size(tmp_path: Path) -> None:
    says = (
        r"the run weighs workers by the size of their training sets: pass size=… to gradwire\.join, or use .*"
    )
    server = refused(tmp_path, own(rounds=3, weighting="size"), zeros(), TaskError, says, name="alice")
    assert server.reasons()["alice"].startswith("its part ended with TaskError: the run weighs workers by")


@pytest.mark.slow
def test_a_codec_that_nobody_allowed(tmp_path: Path) -> None:
    says = r".*no_such_module.*"
    refused(tmp_path, own(rounds=3), zeros(), SpecError, says, allow_codec="no_such_module:Codec")


def test_points_of_the_users_own(tmp_path: Path) -> None:
    """A site without the file, or with another one, is refused; one that has it takes part."""
    digest = gradwire.register_points(2 * np.vstack([np.eye(3), -np.eye(3)]))
    np.save(tmp_path / "mine.npy", 2 * np.vstack([np.eye(3), -np.eye(3)]))
    np.save(tmp_path / "other.npy", 3 * np.vstack([np.eye(3), -np.eye(3)]))
    with Server(tmp_path / "run", own(rounds=2, codec=f"points({digest})")) as server:
        for points, where in (((), "none was given"), (tmp_path / "other.npy", "there is only sha256:.*")):
            with pytest.raises(SpecError) as error:
                train(server, zeros(), points=points)
            says = rf"points: no point set {digest} here, where {where}: pass --points FILE, or points=FILE to .*"
            assert re.fullmatch(says, str(error.value)), str(error.value)
        train(server, zeros(), steps=2, points=str(tmp_path / "mine.npy"))
        assert server.summary()["replicas_agree"]


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (3.0, "evaluate returned a float, expected a dict of numbers by name, or that dict and the number of samples"),
        (None, "evaluate returned a NoneType, expected a dict of numbers by name, .*"),
        (({"a": 1.0}, 5, 6), "evaluate returned a tuple, expected a dict .*"),
        ({"a": "high"}, "evaluate returned a value that is no number: .*"),
        (({"a": 1.0}, "many"), "evaluate returned a value that is no number: .*"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_evaluations_that_are_none(tmp_path: Path, returned: Any, says: str) -> None:
    config = own(rounds=3, evaluate_every=1)
    server = refused(tmp_path, config, zeros(), TaskError, says, name="alice", evaluate=lambda: returned)
    assert server.wait(event="left")["reason"].startswith("its loop ended with TaskError: evaluate returned")


def test_an_evaluation_that_raises(tmp_path: Path) -> None:
    def evaluate() -> dict[str, float]:
        raise ZeroDivisionError("patient 4711")

    with Server(tmp_path / "run", own(rounds=3, evaluate_every=1)) as server:
        with pytest.raises(ZeroDivisionError, match="patient 4711"):
            train(server, zeros(), evaluate=evaluate)
        assert server.wait(event="left")["reason"] == "its loop ended with ZeroDivisionError"


# ---- privacy -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_running_statistics_beside_private_payloads(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    says = (
        r"the model has running statistics \(1\.running_mean, …\), which would be sent in the clear beside .*"
    )
    refused(tmp_path, own(rounds=3, codec=PRIVATE), module, PrivacyError, says)


def test_a_budget_that_is_spent_in_the_middle(tmp_path: Path) -> None:
    model = zeros()
    with Server(tmp_path / "run", own(rounds=9, codec=PRIVATE)) as server:
        options = {"name": "alice", "state_dir": tmp_path / "site", "max_epsilon": 3.5, "progress": False}
        with gradwire.join(server.address, model, **options) as run:
            for _ in range(3):
                run.step(loss=1.0)
            with pytest.raises(BudgetError, match="epsilon") as spent:
                run.step(loss=1.0)
            assert run.round == 3 and "\n" not in str(spent.value)
        left = server.wait(event="left", process="alice")
        assert left["reason"].startswith("its part ended with BudgetError: ")
        assert [e["loss"] for e in server.events if e["event"] == "round"] == [
            None
        ] * 3  # nothing but payloads
        # The ledger outlives the program.
        with pytest.raises(BudgetError):
            gradwire.join(server.address, model, **options)


@pytest.mark.slow
def test_a_run_that_is_not_private_under_a_budget(tmp_path: Path) -> None:
    options = {"state_dir": tmp_path / "site", "max_epsilon": 1.0}
    refused(tmp_path, own(rounds=3), zeros(), PrivacyError, ".*not private.*", **options)


@pytest.mark.slow
def test_numbers_that_are_not_finite_in_a_private_run(tmp_path: Path) -> None:
    """Zero is encoded in their place: a site that stopped would reveal something of its data."""
    model = zeros()
    with Server(tmp_path / "run", own(rounds=4, codec=PRIVATE)) as server:
        with gradwire.join(server.address, model, progress=False) as run:
            for _batch in run.batches([0]):
                model["w"][:] = np.nan
                run.step(loss=float("nan"))
        assert server.summary()["replicas_agree"]
    assert np.isfinite(model["w"]).all()


# ---- who may join --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_program_per_state_directory(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "run", own(rounds=3)) as server,
        gradwire.join(server.address, zeros(), state_dir=tmp_path / "site", progress=False),
        Script(f"OPTIONS = {{'state_dir': {str(tmp_path / 'site')!r}}}\n{JOIN}", server.address) as script,
    ):
        refused = script.wait("refused")
        assert refused["kind"] == "ConfigError"
        assert (
            refused["says"]
            == f"another program uses state_dir {tmp_path / 'site'}: give each program one of its own"
        )
        assert script.end() == 0 and script.errors() == ""


def certified(folder: Path) -> Path:
    words = ["certs", "--out", str(folder), "--host", "127.0.0.1", "--worker", "alice", "--worker", "bob"]
    assert cli.call(words) == 0
    return folder


def worker_says(address: str, cert: Path | None) -> GradwireError:
    """What ``gradwire worker`` says in the same place."""
    options = WorkerOptions(parse_address(address), "worker", retry_for=0.3, tls=worker_tls(None, cert, None))
    with pytest.raises(GradwireError) as refused:
        asyncio.run(WorkerProcess(options).run())
    return refused.value


@pytest.mark.slow
def test_certificates(tmp_path: Path) -> None:
    certs, other = certified(tmp_path / "certs"), certified(tmp_path / "other")
    tls = server_tls(certs, None, None, None)
    with Server(tmp_path / "run", own(rounds=3), tls=tls) as server:
        for cert in (other / "workers/alice.pem", None):
            expected = worker_says(server.address, cert)
            text = f"OPTIONS = {{'cert': {None if cert is None else str(cert)!r}}}\n{JOIN}"
            with Script(text, server.address) as script:
                refused = script.wait("refused")
                assert (refused["kind"], refused["says"]) == (type(expected).__name__, str(expected))
                assert script.end() == 0 and script.errors() == ""
        model, cert = zeros(), certs / "workers/alice.pem"
        with gradwire.join(server.address, model, cert=cert, progress=False) as run:
            assert run.name == "alice"
            for _batch in run.batches([0]):
                run.step()
        server.summary()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cert": "missing.pem"}, "missing.pem"),
        ({"cert": __file__}, "test_join_refused.py"),
        ({"key": "missing.pem"}, "key"),
    ],
)
@pytest.mark.slow
def test_certificate_files(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        gradwire.join("127.0.0.1:1", zeros(), progress=False, **options)
    assert "\n" not in str(refused.value)


def test_plaintext_beyond_this_machine() -> None:
    with pytest.raises(ConfigError, match=r"plaintext|TLS") as refused:
        gradwire.join("train.example:50051", zeros(), progress=False)
    assert "\n" not in str(refused.value)


def test_a_worker_in_a_run_of_own_loops(tmp_path: Path) -> None:
    with Server(tmp_path / "run", own(rounds=3)) as server:
        options = WorkerOptions(parse_address(server.address), "worker", retry_for=0.3)
        with pytest.raises(
            TaskError, match="this run's sites train in loops of their own: join it from a Python"
        ):
            asyncio.run(WorkerProcess(options).run())


@pytest.mark.parametrize("settings", [{"local": "local(steps=5)"}, {"partition": "iid"}])
def test_settings_that_such_a_run_does_not_have(settings: dict[str, str]) -> None:
    says = "the task own has its steps and data in the sites' own loops: leave --local and --partition out"
    with pytest.raises(ConfigError, match=says):
        own(rounds=3, **settings)


def test_a_run_of_own_loops_with_workers_of_this_machine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """``gradwire run`` starts workers, and none of them has such a loop."""
    words = ["run", "--task", "own", "--rounds", "3", "--state-dir", str(tmp_path / "run")]
    assert cli.call(words) != 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "join it from your programs with gradwire.join" in lines[0]
    assert not (tmp_path / "run").exists()
