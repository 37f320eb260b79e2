"""Arguments of ``gradwire.join`` that are refused before anything is started, one line each."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire
from gradwire.common.errors import ConfigError, NotFiniteError, TaskError
from gradwire.worker.join import link
from gradwire.worker.join.settings import Settings

NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*args: Any) -> None:
        raise AssertionError("a wire process was started")

    monkeypatch.setattr(link, "_start", started)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"every": 0}, "every is 0, expected the steps from one exchange to the next, a whole number from 1"),
        ({"every": -3}, "every is -3, expected the steps"),
        ({"every": 2.5}, "every is 2.5, expected the steps from one exchange to the next"),
        ({"every": "x"}, "every is 'x', expected the steps"),
        ({"every": None}, "every is None, expected the steps"),
        ({"every": 2, "gradients": True}, "every is 2 with gradients=True, expected 1: call step once per exchange"),
        ({"gradients": True}, r"gradients=True exchanges the \.grad of a torch module: for arrays, start the server's"),
        ({"buffers": "shared"}, "buffers is 'shared', expected one of averaged, local"),
        ({"size": 0}, "size is 0, expected the number of samples of the training set, a whole number from 1"),
        ({"size": 1.5}, "size is 1.5, expected the number of samples"),
        ({"worker": -1}, "worker is -1, expected the id of a worker, a whole number from 0"),
        ({"worker": "a"}, "worker is 'a', expected the id of a worker, a whole number from 0"),
        ({"retry_for": -1.0}, "retry_for is -1.0, expected seconds of at least 0"),
        ({"retry_for": float("inf")}, "retry_for is inf, expected seconds"),
        ({"retry_for": float("nan")}, "retry_for is nan, expected seconds"),
        ({"retry_for": "1 min"}, "retry_for is '1 min', expected seconds"),
        ({"max_epsilon": 1.0}, "max_epsilon needs state_dir: the ledger must survive a restart"),
        ({"delta": 1e-6}, "delta without max_epsilon limits nothing: pass both"),
        ({"name": ""}, "name is '', expected a text, or None for one that is made"),
    ],
)  # fmt: skip
def test_arguments(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        gradwire.join(NOWHERE, {"w": np.zeros(2)}, **options)


@pytest.mark.parametrize(
    "address", ["", "server", "server:", ":50051", "server:0", "server:x", "server:70000", 5]
)
def test_addresses(address: Any) -> None:
    with pytest.raises(ConfigError, match=r"HOST:PORT|port"):
        gradwire.join(address, {"w": np.zeros(2)})


@pytest.mark.parametrize("model", [3, "model", [np.zeros(2)], None])
def test_no_model(model: Any) -> None:
    says = rf"the model is a {type(model).__name__}, expected a torch\.nn\.Module or a dict of arrays by name"
    with pytest.raises(ConfigError, match=says):
        gradwire.join(NOWHERE, model)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_that_is_not_finite(bad: float) -> None:
    says = "the array v holds numbers that are not finite: join with a model of finite numbers"
    with pytest.raises(NotFiniteError, match=says):
        gradwire.join(NOWHERE, {"u": np.zeros(2), "v": np.array([0.0, bad])})


def test_numbers_beyond_float32() -> None:
    with pytest.raises(NotFiniteError, match="the array v holds numbers that are not finite"):
        gradwire.join(NOWHERE, {"v": np.array([1e300])})


def test_modules() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TaskError, match="the module has no trainable parameters, expected at least one"):
        gradwire.join(NOWHERE, torch.nn.Linear(2, 1).requires_grad_(False))
    module = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(module.weight, float("nan"))
    with pytest.raises(NotFiniteError, match="the array weight holds numbers that are not finite: join with"):
        gradwire.join(NOWHERE, module)


@pytest.mark.parametrize("given", ["no_such_module:Codec", ("no_such_module:Codec",)])
def test_one_codec_of_ones_own_may_be_given_as_a_text(given: Any) -> None:
    settings = Settings(server=NOWHERE, allow_codec=given)
    assert settings.allow_codec == ("no_such_module:Codec",)
    assert Settings.from_json(settings.to_json()) == settings


def test_refused_arguments_leave_the_process_free() -> None:
    """A second attempt is not refused for the first."""
    for _ in range(2):
        with pytest.raises(NotFiniteError):
            gradwire.join(NOWHERE, {"v": np.array([np.nan])})


CHECK = """
import sys, gradwire
gradwire.join, gradwire.Finished, gradwire.JoinedRun
import gradwire.worker.join.models.mapping
heavy = {name.partition(".")[0] for name in sys.modules} & {"grpc", "google", "torch", "sklearn", "scipy"}
assert not heavy, heavy
"""


def test_join_loads_neither_grpc_nor_torch_into_the_program() -> None:
    """gRPC's threads do not survive the forks of data loaders, so the program never has them."""
    subprocess.run([sys.executable, "-c", CHECK], check=True, cwd=Path(__file__).parents[2])
