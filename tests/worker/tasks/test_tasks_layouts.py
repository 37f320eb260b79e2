"""The layouts of the built-in models are those of torch's modules: their arrays load, and compute the same."""

import numpy as np
import pytest

from gradwire.worker.data import load
from gradwire.worker.tasks import build_task
from gradwire.worker.tasks.base import layout_of

torch = pytest.importorskip("torch")

MODULES = {
    "softmax(digits)": lambda: torch.nn.Linear(64, 10),
    "mlp(digits, hidden=12)": lambda: torch.nn.Sequential(
        torch.nn.Linear(64, 12), torch.nn.ReLU(), torch.nn.Linear(12, 10)
    ),
}


@pytest.mark.parametrize("text", MODULES)
def test_a_model_loads_into_torchs_module(text: str) -> None:
    task, module, data = build_task(text, workers=1, seed=0), MODULES[text](), load("digits")
    params = np.random.default_rng(0).normal(size=task.dim).astype(np.float32)
    arrays = {a.name: torch.tensor(view) for a, view in layout_of(task).views(params)}
    module.load_state_dict(arrays, strict=True)
    outputs = module(torch.tensor(data.x_test))
    correct = (outputs.argmax(dim=1) == torch.tensor(data.y_test)).float().mean()
    assert task.evaluate(params)["accuracy"] == pytest.approx(correct.item(), abs=0.004)


def test_others_are_one_vector() -> None:
    for text in ("least_squares(samples=60, dim=7)", "synthetic(dim=50)"):
        layout = layout_of(build_task(text, workers=2, seed=0))
        assert [array.name for array in layout.arrays] == ["parameters"]
