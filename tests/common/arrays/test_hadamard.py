"""The Walsh-Hadamard transform: the right matrix, and the same bits by every path."""

import numpy as np
import pytest

from gradwire.common.arrays import hadamard
from gradwire.common.arrays.hadamard import SLAB, hadamard_transform
from tests.grids import looped

SIZES = [1 << k for k in range(19)]  # below, at and above a slab
DTYPES = [np.float32, np.float64]


def awkward(size: int, dtype: type) -> np.ndarray:
    """Both zeros, denormals and magnitudes far apart: where a different order of additions shows."""
    rng = np.random.default_rng(size)
    x = rng.standard_normal(size) * 2.0 ** rng.integers(-60, 60, size)
    x[rng.random(size) < 0.2] = 0.0
    x[rng.random(size) < 0.2] = -0.0
    x[rng.random(size) < 0.1] *= 1e-300 if dtype is np.float64 else 1e-40
    return x.astype(dtype)


def one_pass_a_level(x: np.ndarray) -> np.ndarray:
    """The levels in the order that is part of the wire format: what receivers undo, to the last bit."""
    low = min(x.size, SLAB)
    strides = [1 << k for k in range(1, low.bit_length() - 1)] + [1] * (x.size > 1)
    strides += [low << k for k in range((x.size // low).bit_length() - 1)]
    for stride in strides:
        pairs = x.reshape(-1, 2, stride)
        x = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
    return x


@pytest.mark.parametrize("dtype", DTYPES)
@looped("size", SIZES)
def test_every_path_gives_the_same_bits(size: int, dtype: type) -> None:
    x = awkward(size, dtype)
    expected, before = one_pass_a_level(x).tobytes(), x.tobytes()
    out = hadamard_transform(x)
    assert out.tobytes() == expected and out.dtype == dtype and x.tobytes() == before
    inside = x.copy()
    assert hadamard_transform(inside, in_place=True) is inside and inside.tobytes() == expected
    assert hadamard_transform(np.repeat(x, 2)[::2]).tobytes() == expected  # strided


@pytest.mark.parametrize("dtype", DTYPES)
@looped("size", SIZES)
def test_tensors_give_the_same_bits(size: int, dtype: type) -> None:
    torch = pytest.importorskip("torch")
    x = awkward(size, dtype)
    tensor = torch.from_numpy(x.copy())
    expected = hadamard_transform(x).tobytes()
    assert hadamard_transform(tensor).numpy().tobytes() == expected
    assert hadamard._level_by_level(tensor).numpy().tobytes() == expected  # the path of other devices
    assert tensor.numpy().tobytes() == x.tobytes()


@pytest.mark.parametrize("size", [1, 2, 4, 64, 512])
def test_matrix_is_sylvesters(size: int) -> None:
    matrix = np.array([[(-1.0) ** (i & j).bit_count() for j in range(size)] for i in range(size)])
    x = np.random.default_rng(1).integers(-9, 10, size).astype(float)  # small integers: exact sums
    np.testing.assert_array_equal(hadamard_transform(x), matrix @ x)


@pytest.mark.parametrize("size", [SLAB, 4 * SLAB])
def test_transform_is_its_own_inverse(size: int) -> None:
    x = np.random.default_rng(2).integers(-9, 10, size).astype(float)
    np.testing.assert_array_equal(hadamard_transform(hadamard_transform(x)) / size, x)


def test_numpy_buffer_size_is_restored() -> None:
    before = np.getbufsize()
    hadamard_transform(np.ones(8))
    assert np.getbufsize() == before


@pytest.mark.parametrize("size", [3, 6, 65_537])
def test_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="pad with zeros"):
        hadamard_transform(np.ones(size))
