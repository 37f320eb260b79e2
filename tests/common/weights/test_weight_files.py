"""Named arrays and their files without torch: rounding, what is refused, and where files may be written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError, LayoutError
from gradwire.common.training.layout import DTYPES, FLOATS, Layout, LayoutArray, Role, constant_digest
from gradwire.common.weights import torch_form
from gradwire.common.weights.arrays import STORED, Array, constants_from, named
from gradwire.common.weights.forms import weight_file
from gradwire.common.weights.start import vector_from, weights_digest

SCALE = np.array([2.0, 0.5], np.float64)
LAYOUT = Layout(
    (
        LayoutArray("w", (2, 3), aliases=("tied",)),
        LayoutArray("b", (), "bfloat16"),
        LayoutArray("mean", (2,), role=Role.AVERAGED),
        LayoutArray("scale", (2,), "float64", Role.CONSTANT, constant_digest(SCALE.tobytes())),
    )
)
VECTOR = np.arange(9, dtype=np.float32) / 8
CONSTANTS = (SCALE.tobytes(),)


def weights(**changes: Any) -> dict[str, Array]:
    """The arrays of the layout; None takes one away."""
    found = {**named(LAYOUT, VECTOR, CONSTANTS), **changes}
    return {name: array for name, array in found.items() if array is not None}


def floats(*values: float, dtype: str = "float32") -> Array:
    return Array(dtype, np.array(values, dtype))


def test_arrays_have_their_names_shapes_and_dtypes() -> None:
    found = weights()
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        "w": ("float32", (2, 3)), "tied": ("float32", (2, 3)), "b": ("bfloat16", ()),
        "mean": ("float32", (2,)), "scale": ("float64", (2,)),
    }  # fmt: skip
    assert found["tied"] is found["w"] and found["w"].values.tolist() == [
        [0, 1 / 8, 2 / 8],
        [3 / 8, 4 / 8, 5 / 8],
    ]
    assert found["b"].values == 0x3F40, "0.75"


@pytest.mark.parametrize(
    ("bits", "rounded"),
    [
        (0x3F800000, 0x3F80), (0x3F808000, 0x3F80), (0x3F818000, 0x3F82), (0x3F808001, 0x3F81),
        (0xBF80FFFF, 0xBF81), (0x7F7FFFFF, 0x7F80), (0x00000001, 0x0000), (0x80008000, 0x8000), (0x00018000, 0x0002),
    ],
)  # fmt: skip
def test_bfloat16_is_rounded_to_nearest_even(bits: int, rounded: int) -> None:
    value = np.array(bits, np.uint32).view(np.float32)
    assert Array.narrowed(value, "bfloat16").values == rounded


@pytest.mark.parametrize("dtype", FLOATS)
def test_narrowed_values_are_widened_again(dtype: str) -> None:
    values = np.array([[0.5, -3.0], [0.0, 96.0]], np.float32)
    assert np.array_equal(Array.narrowed(values, dtype).widened(), values)


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_every_dtype_is_written_and_read(ending: str, tmp_path: Path) -> None:
    made = {
        name: Array(name, np.array([[1], [0]]).astype(STORED[name])) for name in DTYPES if name != "bfloat16"
    }
    made["file"] = made["int8"]  # a name that np.savez takes for its own
    made["empty"] = Array("float32", np.zeros((0, 3), np.float32))
    file = weight_file(tmp_path / f"all{ending}")
    file.write(made, {})
    read = file.read()
    assert weights_digest(read) == weights_digest(made)
    first = file.path.read_bytes()
    file.write(made, {})
    assert file.path.read_bytes() == first, "the same arrays make the same file"


def test_npz_says_that_bfloat16_is_float32(tmp_path: Path) -> None:
    file = weight_file(tmp_path / "m.npz")
    file.write(weights(), {})
    assert file.notes(weights()) == [f"1 bfloat16 arrays are float32 in {file.path}: NumPy has no bfloat16"]
    assert file.read()["b"].dtype == "float32" and file.read()["b"].values == 0.75
    assert file.metadata() == {} and weight_file(tmp_path / "m.safetensors").notes(weights()) == []


# ---- what does not fit ---------------------------------------------------------------------------------------

REFUSED = [
    ({"w": None, "tied": None}, r"^w is missing, which the run's model has$"),
    ({"mean": None}, r"^mean is missing"),
    ({"extra": floats(1.0)}, r"^it has extra, which the run's model has not$"),
    ({"mean": floats(1.0, 2.0, 3.0)}, r"^mean has the shape \[3\], the run's model has \[2\] there$"),
    ({"mean": floats(1.0, np.nan)}, r"^mean holds numbers that are not finite"),
    ({"mean": floats(1.0, 1e39, dtype="float64")}, r"^mean holds numbers that .* beyond float32$"),
    ({"mean": Array("int64", np.array([1, 2]))}, r"^mean: its values are int64, expected floating ones$"),
    ({"tied": floats(*range(6))}, r"^w and tied are one array in the run's model, and differ$"),
    (
        {"scale": floats(2.0, 0.25, dtype="float64")},
        r"^the constant array scale has other values than in the run's model",
    ),
    ({"scale": floats(2.0, 0.5)}, r"^the constant array scale has other values"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_arrays_of_another_model_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        vector_from(LAYOUT, weights(**changes))


@pytest.mark.parametrize("missing", ["tied", "w", "scale"])
def test_one_name_of_tied_arrays_and_no_constant_are_enough(missing: str) -> None:
    assert vector_from(LAYOUT, weights(**{missing: None})).tobytes() == VECTOR.tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": None}, "scale is missing"),
        ({"scale": floats(2.0, 0.25, dtype="float64")}, "other values than the run's"),
    ],
)
def test_base_must_have_the_runs_constants(changes: dict[str, Any], message: str) -> None:
    assert constants_from(LAYOUT, weights()) == CONSTANTS
    with pytest.raises(LayoutError, match=message):
        constants_from(LAYOUT, weights(**changes))


# ---- files ---------------------------------------------------------------------------------------------------


def test_unknown_ending_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^m.bin ends in .bin, expected .safetensors, .npz, .pt$"):
        weight_file(Path("m.bin"))
    with pytest.raises(ConfigError, match=r"^m ends in nothing"):
        weight_file(Path("m"))


def test_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "m.npz").mkdir()
    with pytest.raises(ConfigError, match="it is a folder, name a file in it"):
        weight_file(tmp_path / "m.npz").write(weights(), {})
    with pytest.raises(ConfigError, match="its folder does not exist"):
        weight_file(tmp_path / "none" / "m.npz").check()


def test_failed_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weight_file(tmp_path / "m.safetensors")
    file.write(weights(), {})
    before = file.path.read_bytes()
    monkeypatch.setattr(
        Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(ConfigError, match="No space left on device; name another file"):
        file.write(weights(mean=floats(5.0, 6.0)), {})
    assert file.path.read_bytes() == before and list(tmp_path.iterdir()) == [file.path]


def test_torch_file_without_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_form, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"m.pt needs torch: install it, or name a .safetensors or .npz file"
    ):
        weight_file(tmp_path / "m.pt").check()


def header(table: Any, body: bytes = b"") -> bytes:
    text = json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + body


ROW = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
DAMAGED = [
    (b"", "its header is longer than the file"), (b"\xff" * 100, "its header is longer than the file"),
    (b"\x02" + bytes(7) + b"{}x", None), (header([1]), "its header is not a table"),
    (b"\x02" + bytes(7) + b"{]", "its header is not JSON"), (header({"w": ROW}, b"abc"), "w does not fit its shape"),
    (header({"w": {**ROW, "shape": [2]}}, bytes(4)), "w does not fit its shape"),
    (header({"w": {"dtype": "F32"}}), "w does not fit its shape"),
    (header({"w": {**ROW, "data_offsets": [-4, 0]}}, bytes(4)), "w does not fit its shape"),
    (header({"w": {**ROW, "dtype": "F8_E4M3"}}, bytes(4)), "w is F8_E4M3, expected one of F64"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), DAMAGED)
def test_damaged_safetensors_file_is_one_line(data: bytes, message: str | None, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    if message is None:
        assert weight_file(path).read() == {}
        return
    with pytest.raises(ConfigError, match=message):
        weight_file(path).read()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and nothing", b"text"])
def test_damaged_npz_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(data)
    with pytest.raises(ConfigError, match=r"m.npz is not a .npz file of arrays: NumPy cannot read it$"):
        weight_file(tmp_path / "m.npz").read()


def test_npz_file_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", w=np.array([{}], object))
    with pytest.raises(ConfigError, match="NumPy cannot read it"):
        weight_file(tmp_path / "m.npz").read()


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*m.npz: No such file or directory"):
        weight_file(tmp_path / "m.npz").read()
