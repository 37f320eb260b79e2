"""Optimizers and sizes of messages, computed from the words of docs/protocol.md alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

F32 = np.float32
Values = list[float]

# ---- optimizers ------------------------------------------------------------------------------------------------------


def rate(given: dict[str, Any], t: int) -> float:
    lr = float(given["lr"])
    if given["schedule"] == "inverse_sqrt":
        return lr / math.sqrt(t + 1)
    for _ in range(t // given["every"] if given["schedule"] == "step" else 0):
        lr *= given["factor"]
    return lr


def halved(terms: Iterable[float]) -> float:
    found = list(terms)
    found += [0.0] * ((1 << (len(found) - 1).bit_length()) - len(found))
    while len(found) > 1:
        half = len(found) // 2
        found = [a + b for a, b in zip(found[:half], found[half:], strict=True)]
    return found[0]


def norm(z: Values, p: float) -> float:
    m = max(map(abs, z))
    if m == 0 or math.isinf(p):
        return m
    s = [abs(value) / m for value in z]
    if p == 2:
        return m * math.sqrt(halved(value * value for value in s))
    return m * halved(s) if p == 1 else m * halved(value**p for value in s) ** (1 / p)


def project(z: Values, p: float, radius: float) -> Values:
    if math.isinf(p):
        return [min(max(value, -radius), radius) for value in z]
    if norm(z, p) <= radius:
        return z
    if p == 2:
        return [value * (radius / norm(z, 2)) for value in z]
    return project_l1(z, radius) if p == 1 else project_lp(z, p, radius)


def project_l1(z: Values, radius: float) -> Values:
    m, total, excess = sorted(map(abs, z), reverse=True), 0.0, []
    for value in m:
        total += value
        excess.append(total - radius)
    last = max(k for k in range(len(m)) if m[k] * (k + 1) > excess[k])
    return [math.copysign(max(abs(value) - excess[last] / (last + 1), 0.0), value) for value in z]


def project_lp(z: Values, p: float, radius: float) -> Values:
    low, high = 0.0, max(map(abs, z)) / p * max(1, radius ** (1 - p)) * len(z)
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if norm(shrink(z, p, middle), p) > radius else (low, middle)
    return [math.copysign(size, value) for size, value in zip(shrink(z, p, high), z, strict=True)]


def shrink(z: Values, p: float, c: float) -> Values:
    found = []
    for value in z:
        low, high = 0.0, abs(value)
        for _ in range(80):
            middle = (low + high) / 2
            above = middle + (c * p) * middle ** (p - 1) > abs(value)
            low, high = (low, middle) if above else (middle, high)
        found.append(high)
    return found


def projected(given: dict[str, Any], x: Values, u: Values, start: Values, t: int) -> Values:
    r = rate(given, t)
    z = [(a - r * b) - c for a, b, c in zip(x, u, start, strict=True)]
    return [a + b for a, b in zip(start, project(z, given["p"], given["radius"]), strict=True)]


def mirrored(given: dict[str, Any], x: Values, u: Values, start: Values, t: int) -> Values:
    p = min(2.0, max(given["p"], 1 + 1 / math.log(len(x)))) if len(x) > 1 else 2.0
    z = [a - b for a, b in zip(x, start, strict=True)]
    theta = powers(z, p, lambda size: size / (p - 1))
    theta = [a - rate(given, t) * b for a, b in zip(theta, u, strict=True)]
    y = powers([value * (p - 1) for value in theta], p / (p - 1), lambda size: size)
    size = norm(y, p)
    if size > given["radius"]:
        y = [value * (given["radius"] / size) for value in y]
    return [a + b for a, b in zip(start, y, strict=True)]


def powers(z: Values, p: float, factor: Any) -> Values:
    size = norm(z, p)
    return [math.copysign((abs(v) / size) ** (p - 1), v) * factor(size) if size else 0.0 for v in z]


def step(spec: Any, arrays: dict[str, Any], update: Any, t: int) -> None:
    """One step; ``arrays`` holds ``params`` and, from the first step on, the optimizer's own arrays."""
    name, given = spec
    if name == "averaged":
        average = arrays.setdefault("average", arrays["params"].copy())
        step(given["inner"], arrays, update, t)
        arrays["average"] = average + (arrays["params"] - average) * F32(1 / (t + 1))
    elif name == "sgd":
        if given["momentum"]:
            velocity = arrays.get("velocity", np.zeros_like(update)) * F32(given["momentum"])
            update = arrays["velocity"] = velocity + update
        arrays["params"] = arrays["params"] - F32(rate(given, t)) * update
    else:
        start = arrays.setdefault("start", arrays["params"].copy())
        new = {"projected_sgd": projected, "mirror_descent": mirrored}[name]
        values = (each.astype(float).tolist() for each in (arrays["params"], update, start))
        arrays["params"] = np.array(new(given, *values, t)).astype(F32)


# ---- sizes -----------------------------------------------------------------------------------------------------------


def v(n: int) -> int:
    return max(1, (n.bit_length() + 6) // 7)


def field(n: int) -> int:
    return 1 + v(n) + n if n else 0


def number(n: int) -> int:
    return 1 + v(n) if n else 0


def pieces(m: int) -> int:
    if m <= 1 << 20:
        return m
    sizes = [min(1 << 20, m - at) for at in range(0, m, 1 << 20)]
    inner = [field(size) + (number(m) if k == 0 else 0) for k, size in enumerate(sizes)]
    return sum(1 + v(q) + q for q in inner)


def push(
    round_: int, lengths: Sequence[int], *, fixed: bool, losses: bool, examples: bool, digest: bool
) -> int:
    p = number(round_) + field(sum(lengths)) + (0 if fixed else field(sum(map(v, lengths))))
    p += (losses + examples) * field(4 * len(lengths)) + 9 * digest
    return pieces(1 + v(p) + p)


def entry(round_: int, body: int) -> int:
    e = number(round_) + body
    return pieces(1 + v(e) + e)


def log_body(lengths: Sequence[int], cohort: Sequence[int], *, fixed: bool, examples: bool) -> int:
    """``cohort``: the ids, none where it is complete."""
    b = field(sum(lengths)) + field(sum(map(v, cohort))) + (0 if fixed else field(sum(map(v, lengths))))
    b += examples * field(4 * len(lengths))
    return 1 + v(b) + b


def sum_body(dim: int, sparse: int | None) -> int:
    b = field(4 * dim)
    if sparse is not None:
        b = field(4 * sparse) + field(-(-sparse * (dim - 1).bit_length() // 8)) + 2
    return 1 + v(b) + b
