"""Speed of the transform.

Examples:
    gradwire bench hadamard --size 1048576
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from gradwire.bench.backends import BackendOption, chosen, place
from gradwire.bench.timing import Timing, against, conditions
from gradwire.common.arrays.hadamard import hadamard_transform
from gradwire.common.errors import ConfigError
from gradwire.deploy.flags import AsJson

SIZES = (1 << 16, 1 << 20, 1 << 24)


def hadamard(
    size: Annotated[
        list[int] | None, typer.Option(help="Number of values, a power of two; may be repeated.", min=1)
    ] = None,
    backend: BackendOption = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of each.", min=1)] = 101,
    as_json: AsJson = False,
) -> None:
    """Time the transform of float32 values in copies of their array, beside one NumPy pass for each level.

    Each call is timed right after such a copy, in the same process. Shown are medians and the fastest call.
    """
    for n in size or ():
        if n & (n - 1):
            raise ConfigError(f"--size is {n}, expected a power of two")
    rows = [row for n in size or SIZES for row in measure(n, chosen(backend), repeats)]
    about = conditions()
    if as_json:
        print(json.dumps(about | {"rows": rows}, indent=2))
        return
    print(f"{about['machine']}, load {about['load'][0]}")
    print(f"{'transform':24}{'values':>12}{'median':>12}{'copies':>8}{'least':>12}{'copies':>8}")
    for row in rows:
        print(
            f"{row['transform']:24}{row['size']:>12,}{row['ms']:>9.3f} ms{row['copies']:>8.1f}"
            f"{row['least_ms']:>9.3f} ms{row['least_copies']:>8.1f}"
        )


def measure(size: int, backends: list[str], repeats: int) -> list[dict[str, Any]]:
    """Rows for one size: the transform on each backend, and NumPy's one pass per level."""
    x = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    rows = []
    for name in backends:
        placed = place(x, name)

        def transform(placed: Any = placed) -> None:
            hadamard_transform(placed.values)
            placed.wait()

        rows.append(_row(name, size, against(placed.copy_and_wait, transform, repeats)))
    plain = place(x, "numpy")
    level_by_level = against(plain.copy_and_wait, lambda: one_pass_per_level(plain.values), repeats)
    return [*rows, _row("one pass per level", size, level_by_level)]


def one_pass_per_level(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The transform as in textbooks: level after level over the whole vector [n]."""
    stride = 1
    while stride < x.size:
        pairs = x.reshape(-1, 2, stride)
        x = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        stride *= 2
    return x


def _row(name: str, size: int, timing: Timing) -> dict[str, Any]:
    return {"transform": name, "size": size, **timing.medians(), **timing.fastest("least_")}
