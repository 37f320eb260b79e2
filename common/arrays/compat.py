"""NumPy/torch compatibility helpers: what the two do not share by operators alone.

Every algorithm in gradwire is written once. NumPy arrays are the reference; torch tensors, on the CPU or on a
CUDA device, take the same path on their own device. torch is never imported unless a tensor was passed in.
"""

from __future__ import annotations

import math
import sys
from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat
import array_api_compat.numpy as host
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any  # numpy.ndarray or torch.Tensor
F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
U8: TypeAlias = NDArray[np.uint8]


def all_finite(values: Array) -> bool:
    """Whether floats, of any shape, are all finite; for NumPy mostly in one pass and without a temporary array."""
    if not isinstance(values, np.ndarray):
        xp = namespace(values)
        return bool(xp.all(xp.isfinite(values)))
    # The sum of squares is finite unless a value is not, or is beyond 1e19.
    with np.errstate(over="ignore", invalid="ignore"):
        screen = float(np.vdot(values, values))
    return math.isfinite(screen) or bool(np.isfinite(values).all())


def is_tensor(x: object) -> bool:
    """Whether ``x`` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def namespace(x: Array) -> ModuleType:
    """The array-API namespace of ``x`` (numpy or torch)."""
    if isinstance(x, np.ndarray):
        return host
    return array_api_compat.array_namespace(x)


def to_host(x: Array) -> NDArray[Any]:
    """``x`` as a NumPy array; a device tensor is copied, so callers pass only what is small."""
    return x.detach().cpu().numpy() if is_tensor(x) else np.asarray(x)


def like(values: NDArray[Any], x: Array) -> Array:
    """NumPy ``values`` on the backend and device of ``x``."""
    if not is_tensor(x):
        return values
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(x.device)
