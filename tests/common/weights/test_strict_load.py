"""A plain torch module loads what is written here, strictly, and a run begins from what torch wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import LayoutError
from gradwire.common.weights.arrays import constants_from, named
from gradwire.common.weights.forms import weight_file
from gradwire.common.weights.start import vector_from
from tests.common.weights.modules import MODULES, batch_norm, model_of, tied, torch

safetensors_torch = pytest.importorskip("safetensors.torch")
EVERY_MODULE = pytest.mark.parametrize("make", MODULES, ids=[make.__name__ for make in MODULES])


def load(path: Path) -> dict[str, Any]:
    """As users load it, without gradwire."""
    if path.suffix == ".pt":
        return dict(torch.load(path, weights_only=True))
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    return dict(safetensors_torch.load_file(path))


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".npz"])
@EVERY_MODULE
def test_module_loads_the_file_strictly(make: Any, ending: str, tmp_path: Path) -> None:
    layout, vector, constants = model_of(make())
    vector = np.random.default_rng(1).standard_normal(vector.size).astype(np.float32)
    path = tmp_path / f"model{ending}"
    weight_file(path).write(named(layout, vector, constants), {})
    module = make()
    module.load_state_dict(load(path), strict=True)
    _, loaded, kept = model_of(module)
    for array, view in layout.views(vector):
        expected = torch.from_numpy(view.copy()).to(getattr(torch, array.dtype)).float().numpy()
        found = {a.name: v for a, v in layout.views(loaded)}[array.name]
        assert found.tobytes() == expected.tobytes(), array.name
    assert kept == constants


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".npz"])
@EVERY_MODULE
def test_what_was_written_is_read_back(make: Any, ending: str, tmp_path: Path) -> None:
    layout, vector, constants = model_of(make())
    path = tmp_path / f"model{ending}"
    weight_file(path).write(named(layout, vector, constants), {})
    read = weight_file(path).read()
    assert vector_from(layout, read).tobytes() == vector.tobytes()
    assert constants_from(layout, read) == constants


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
@EVERY_MODULE
def test_file_that_torch_wrote_is_read(make: Any, ending: str, tmp_path: Path) -> None:
    module = make()
    path = tmp_path / f"model{ending}"
    if ending == ".pt":
        torch.save({"epoch": 3, "state_dict": module.state_dict()}, path)
    else:
        safetensors_torch.save_file({k: v.clone() for k, v in module.state_dict().items()}, path)
    layout, vector, constants = model_of(module)
    read = weight_file(path).read()
    assert vector_from(layout, read).tobytes() == vector.tobytes()
    assert constants_from(layout, read) == constants


def test_tied_names_share_their_storage_in_a_torch_file(tmp_path: Path) -> None:
    layout, vector, constants = model_of(tied())
    weight_file(tmp_path / "m.pt").write(named(layout, vector, constants), {})
    state = torch.load(tmp_path / "m.pt", weights_only=True)
    assert state["head.weight"].data_ptr() == state["embedding.weight"].data_ptr()


def test_metadata_are_those_of_safetensors(tmp_path: Path) -> None:
    layout, vector, constants = model_of(tied())
    path = tmp_path / "m.safetensors"
    weight_file(path).write(named(layout, vector, constants), {"task": "mlp", "round": "7"})
    assert weight_file(path).metadata() == {"task": "mlp", "round": "7"}
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(path, "numpy") as opened:
        assert opened.metadata() == {"task": "mlp", "round": "7"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_stripped(prefix: str) -> None:
    layout, vector, constants = model_of(batch_norm())
    weights = {f"{prefix}{name}": array for name, array in named(layout, vector, constants).items()}
    assert vector_from(layout, weights).tobytes() == vector.tobytes()


def test_layer_that_is_called_module_keeps_its_name() -> None:
    outer = torch.nn.Module()
    outer.module = torch.nn.Linear(2, 2)
    layout, vector, constants = model_of(outer)
    assert vector_from(layout, named(layout, vector, constants)).tobytes() == vector.tobytes()


def test_count_of_batches_may_be_another() -> None:
    layout, _, _ = model_of(batch_norm())
    trained = batch_norm()
    trained[1].num_batches_tracked += 12
    _, other, later = model_of(trained)
    assert vector_from(layout, named(layout, other, later)).tobytes() == other.tobytes()
    with pytest.raises(LayoutError, match="num_batches_tracked has other values"):
        constants_from(layout, named(layout, other, later))
