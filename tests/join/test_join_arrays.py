"""Dictionaries of arrays in a run: NumPy's in place, others replaced by arrays of their kind."""

from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError, LayoutError, NotFiniteError, TaskError
from gradwire.worker.join.models import joined_model
from gradwire.worker.join.models.mapping import ArraysModel
from tests.join.fake_run import joined


class Immutable:
    """An array as those of JAX are: read by NumPy, made by its namespace, never written to."""

    def __init__(self, values: Any, dtype: Any) -> None:
        self._values = np.array(values, dtype)
        self._values.flags.writeable = False
        self.dtype, self.shape = self._values.dtype, self._values.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self._values if dtype is None else self._values.astype(dtype)

    def __array_namespace__(self) -> Any:
        return SimpleNamespace(asarray=Immutable)


def test_numpy_arrays_are_set_in_place() -> None:
    w, b = np.zeros((2, 3), np.float32), np.zeros((), np.float64)
    model = {"w": w, "b": b}
    with joined(model) as (run, link):
        w += 1
        b += 2
        assert run.step() is model
    np.testing.assert_array_equal(link.updates[0], [-2] + [-1] * 6)  # in the order of their names
    assert model["w"] is w and model["b"] is b and (w == 1).all() and b == 2


def test_arrays_of_any_layout_in_memory() -> None:
    model = {
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "strided": np.arange(8, dtype=np.float64)[::2],
        "swapped": np.arange(2, dtype=">f4"),
    }
    held = dict(model)
    with joined(model) as (run, link):
        for array in model.values():
            array += 1
        run.step()
        assert (link.updates[0] == -1).all() and len(link.updates[0]) == 12
    assert all(model[name] is held[name] for name in held)
    np.testing.assert_array_equal(model["columns"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(model["strided"], [1, 3, 5, 7])
    np.testing.assert_array_equal(model["swapped"], [1, 2])


def test_names_with_dots() -> None:
    """As in a file of a module's weights, beside dictionaries."""
    model = {"0.weight": np.zeros(2), "0": {"bias": np.zeros(1)}, "head.w": Immutable([0.0], np.float32)}
    with joined(model) as (run, link):
        model["0.weight"] += 1
        model["0"]["bias"] += 2
        run.step()
        assert run.model().keys() == {"0.weight", "0.bias", "head.w"}
    np.testing.assert_array_equal(link.updates[0], [-2, -1, -1, 0])
    assert model.keys() == {"0.weight", "0", "head.w"} and model["0.weight"].tolist() == [1, 1]


def test_read_only_arrays_are_replaced() -> None:
    fixed = np.zeros(2, np.float32)
    fixed.flags.writeable = False
    model = {"w": fixed}
    with joined(model) as (run, _):
        model["w"] = model["w"] + 1
        run.step()
    assert (fixed == 0).all() and (model["w"] == 1).all() and model["w"].dtype == np.float32


def test_nested_dictionaries_have_dotted_names() -> None:
    model = {
        "layers": {"0": {"w": np.zeros(2, np.float32)}, "1": {"w": np.zeros(1, np.float32)}},
        "n": np.arange(3),
    }
    inner = model["layers"]["0"]["w"]  # type: ignore[index]
    with joined(model) as (run, _):
        inner += 1
        run.step()
        held = run.model()
    assert sorted(held) == ["layers.0.w", "layers.1.w", "n"] and (held["layers.0.w"] == 1).all()


def test_integers_and_booleans_are_constant() -> None:
    model = {"steps": np.arange(3), "mask": np.array([True]), "w": np.zeros(1, np.float32)}
    adapter = ArraysModel(model)
    assert [(a.name, a.role.value) for a in adapter.layout.arrays] == [
        ("w", "trained"), ("mask", "constant"), ("steps", "constant")
    ]  # fmt: skip
    assert adapter.constants() == [b"\x01", np.arange(3).tobytes()]
    assert (
        ArraysModel(dict(reversed(model.items()))).layout == adapter.layout
    )  # whatever the order of the keys


def test_immutable_arrays_are_replaced_by_their_kind() -> None:
    model: dict[str, Any] = {"w": Immutable([0, 0], np.float32)}
    with joined(model) as (run, link):
        model["w"] = Immutable(np.asarray(model["w"]) + 2, np.float32)
        run.step()
    np.testing.assert_array_equal(link.updates[0], [-2, -2])
    assert isinstance(model["w"], Immutable) and np.asarray(model["w"]).tolist() == [2, 2]


def test_new_arrays_may_be_given_to_each_step() -> None:
    """As in JAX: a step of the loop makes a new dictionary, and takes back the one that it is to go on from."""
    params: dict[str, Any] = {"w": Immutable([0.0], np.float32), "deep": {"v": np.zeros(1, np.float32)}}
    first = params
    with joined(params, every=2, others=lambda round_: [np.full(2, 5, np.float32)]) as (run, link):
        for _ in range(4):
            w = Immutable(np.asarray(params["w"]) + 1, np.float32)
            params = {"deep": {"v": params["deep"]["v"] + 1}, "w": w}
            params = run.step(params)
        assert [u.tolist() for u in link.updates] == [[-2, -2], [-2, -2]]
        assert np.asarray(params["w"]).tolist() == [-3] and params["deep"]["v"].tolist() == [-3]
        assert np.asarray(first["w"]).tolist() == [0]
        np.testing.assert_array_equal(run.model()["w"], [-3])


def test_tensors_are_set_in_place() -> None:
    torch = pytest.importorskip("torch")
    w = torch.zeros(2, requires_grad=True)
    model = {"w": w}
    optimizer = torch.optim.SGD([w], lr=1.0)
    with joined(model) as (run, link):
        w.sum().backward()
        optimizer.step()
        run.step()
    np.testing.assert_array_equal(link.updates[0], [1, 1])
    assert model["w"] is w and w.requires_grad and w.tolist() == [-1, -1]


def test_numbers_beyond_the_dtype_of_an_array_are_refused_at_the_next_exchange() -> None:
    model = {"w": np.zeros(1, np.float16)}
    with joined(model, others=lambda round_: [np.full(1, -1e6, np.float32)]) as (run, _):
        run.step()
        with pytest.raises(NotFiniteError, match="the array w holds numbers that are not finite"):
            run.step()


# ---- what cannot take part -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        ({"w": 1.0}, ConfigError, "w is a float, expected an array"),
        ({"w": [1.0, 2.0]}, ConfigError, "w is a list, expected an array"),
        ({"w": np.float32(1)}, ConfigError, "w is a float32, expected an array"),
        ({"w": None}, ConfigError, "w is a NoneType, expected an array"),
        ({"a.b": np.zeros(2), "a": {"b": np.zeros(2)}}, ConfigError, r"two arrays are called a\.b: a name is the path"),
        ({0: np.zeros(2)}, ConfigError, "an array is called 0, expected a text"),
        ({"": np.zeros(2)}, ConfigError, "an array is called ''"),
        ({"w": np.zeros(2, complex)}, LayoutError, "w is 'complex128', expected one of float64"),
        ({"w": np.array(["a"])}, LayoutError, "w is 'str32', expected one of"),
        ({"w": np.arange(2)}, LayoutError, "the model has no trained parameters, expected at least one"),
        ({}, LayoutError, "the model has no trained parameters"),
        (3, ConfigError, r"the model is a int, expected a torch\.nn\.Module or a dict of arrays by name"),
        ([np.zeros(2)], ConfigError, "the model is a list, expected"),
        ("model.pt", ConfigError, "the model is a str, expected"),
        (None, ConfigError, "the model is a NoneType, expected"),
        (MappingProxyType({"w": np.zeros(2)}), ConfigError, "the model is a mappingproxy, expected"),
    ],
)  # fmt: skip
def test_models_that_cannot_join(model: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        joined_model(model, gradients=False, local_buffers=False)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"w": np.zeros(3)},
            r"w has the shape \[3\], the model joined with \[2\]: a model keeps its arrays for the",
        ),
        (
            {"w": np.zeros(2), "v": np.zeros(1)},
            "the array v is new: a model keeps its arrays for the whole run",
        ),
        ({"v": np.zeros(2)}, "the array v is new"),
        ({}, "the array w is missing"),
        ([np.zeros(2)], "step was given a list, expected a dict of the arrays that joined, or nothing"),
    ],
)
def test_steps_with_other_arrays(given: Any, says: str) -> None:
    with joined({"w": np.zeros(2)}) as (run, link), pytest.raises(TaskError, match=says):
        run.step(given)
    assert not link.updates


def test_a_model_that_loses_an_array() -> None:
    model = {"v": np.zeros(1), "w": np.zeros(2)}
    with joined(model) as (run, _):
        del model["v"]
        with pytest.raises(TaskError, match="the array v is missing"):
            run.step()
