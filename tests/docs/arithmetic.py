"""Optimizers and sizes of messages, computed from the words of docs/protocol.md alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

F32 = np.float32
Values = list[float]

# ---- control variate -------------------------------------------------------------------------------------------------


def damping(omega: float, *, feedback: bool) -> float:
    k = 0
    while not feedback and 2.0**k < (1 - 2.0**-20) * (1 + omega):
        k += 1
    return 2.0**-k


def control(c: np.ndarray, u: np.ndarray, steps: int, lr: float, share: float) -> np.ndarray:
    """Share is alpha · workers in the round / workers of the run."""
    return F32(c + F32(F32(share) * F32(F32(u * F32(1 / (steps * lr))) - c)))


# ---- optimizers ------------------------------------------------------------------------------------------------------


def rate(given: dict[str, Any], t: int) -> float:
    name, schedule = given["schedule"]
    if name == "step" and not schedule:
        schedule = given
    return scheduled(name, schedule, float(given["lr"]), t)


def scheduled(name: str, given: dict[str, Any], lr: float, t: int) -> float:
    if name == "inverse_sqrt":
        return lr / math.sqrt(t + 1)
    if name == "warmup":
        rounds = given["rounds"]
        return lr * ((t + 1) / (rounds + 1)) if t < rounds else scheduled(*given["then"], lr, t - rounds)
    if name in ("linear", "cosine"):
        rounds, final = given["rounds"], given["final"]
        left = (rounds - t) / rounds if name == "linear" else (1 + cosine(min(t, rounds), rounds)) / 2
        return float(lr * final if t >= rounds else lr * (final + (1 - final) * left))
    for _ in range(t // given["every"] if name == "step" else 0):
        lr *= given["factor"]
    return lr


def cosine(n: int, m: int) -> float:
    if 2 * n > m:
        return -cosine(m - n, m)
    if 4 * n <= m:
        x = math.pi * (n / m)
        return polynomial(range(16, -1, -2), x * x)
    x = math.pi * ((m - 2 * n) / (2 * m))
    return x * polynomial(range(17, 0, -2), x * x)


def polynomial(orders: Iterable[int], y: float) -> float:
    value = 0.0
    for k in orders:
        value = value * y + (-1 if k // 2 % 2 else 1) / math.factorial(k)
    return value


def power(base: float, exponent: int) -> float:
    result = 1.0
    for digit in reversed(f"{exponent:b}"):
        result = result * base if digit == "1" else result
        base = base * base
    return result


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
    if given.get("domain") == "box":
        y = box(y, p, given["radius"])
    elif size > given["radius"]:
        y = [value * (given["radius"] / size) for value in y]
    return [a + b for a, b in zip(start, y, strict=True)]


def box(y: Values, p: float, radius: float) -> Values:
    m = max(map(abs, y))
    if m <= radius:
        return y
    r, n, sizes = radius / m, norm(y, p) / m, sorted(abs(v) / m for v in y)
    sums = list(itertools.accumulate((size**p for size in sizes), initial=0.0))

    def c(t: float) -> float:
        return math.exp(min(300, (2 - p) / (p - 1) * -math.log(t)))

    low, high = r / n, 1.0
    for _ in range(64):
        t = (low + high) / 2
        k = sum(size <= r / c(t) for size in sizes)
        longer = (c(t) ** p * sums[k] + (len(y) - k) * r**p) ** (1 / p) > t * n
        low, high = (t, high) if longer else (low, t)
    return [min(max(c(high) * v, -radius), radius) for v in y]


def powers(z: Values, p: float, factor: Any) -> Values:
    size = norm(z, p)
    return [math.copysign((abs(v) / size) ** (p - 1), v) * factor(size) if size else 0.0 for v in z]


def nesterov(
    given: dict[str, Any], x: float, u: float, own: dict[str, float], t: int
) -> tuple[float, dict[str, float]]:
    g = u + given["weight_decay"] * x if given["weight_decay"] else u
    v = own.get("velocity", 0.0) * given["momentum"] + g
    return x - (g + v * given["momentum"]) * rate(given, t), {"velocity": v}


def adaptive(
    name: str, given: dict[str, Any], x: float, u: float, own: dict[str, float], t: int
) -> tuple[float, dict[str, float]]:
    a = b = 1.0
    if given.get("bias_correction"):
        a, b = 1 - power(given["beta1"], t + 1), math.sqrt(1 - power(given["beta2"], t + 1))
    if name == "adamw":
        x = x * (1 - rate(given, t) * given["weight_decay"])
    g = u + given["weight_decay"] * x if given["weight_decay"] and name != "adamw" else u
    v = own.get("second_moment", float(F32(given["initial"])))
    if name == "adagrad":
        v = v + g * g
    elif name == "yogi":
        v = v - ((g * g) * (1 - given["beta2"])) * ((v > g * g) - (v < g * g))
    else:
        v = v * given["beta2"] + (g * g) * (1 - given["beta2"])
    m, arrays = g, {"second_moment": v}
    if given["beta1"]:
        m = arrays["first_moment"] = own.get("first_moment", 0.0) * given["beta1"] + g * (1 - given["beta1"])
    return x - (m / (math.sqrt(v) / b + given["eps"])) * (rate(given, t) / a), arrays


def each(rule: Any, given: dict[str, Any], arrays: dict[str, Any], update: Any, t: int) -> None:
    """A step by coordinates, in float64; its results are rounded to float32."""
    names = [name for name in ("velocity", "first_moment", "second_moment") if name in arrays]
    found = []
    for i, (x, u) in enumerate(zip(arrays["params"].tolist(), update.tolist(), strict=True)):
        x, own = rule(given, x, u, {name: float(arrays[name][i]) for name in names}, t)
        found.append({"params": x, **own})
    arrays.update({name: np.array([row[name] for row in found]).astype(F32) for name in found[0]})


def clip(update: Any, norm: float) -> Any:
    size = math.sqrt(halved(value * value for value in update.tolist()))
    return (
        np.array([value * (norm / size) for value in update.tolist()]).astype(F32) if size > norm else update
    )


def step(spec: Any, arrays: dict[str, Any], update: Any, t: int) -> None:
    """One step; ``arrays`` holds ``params`` and, from the first step on, the optimizer's own arrays."""
    name, given = spec
    if name == "averaged":
        average = arrays.setdefault("average", arrays["params"].copy())
        step(given["inner"], arrays, update, t)
        arrays["average"] = average + (arrays["params"] - average) * F32(1 / (t + 1))
    elif name == "clipped":
        step(given["inner"], arrays, clip(update, given["norm"]), t)
    elif name == "sgd":
        if given.get("weight_decay"):
            update = update + F32(given["weight_decay"]) * arrays["params"]
        if given["momentum"]:
            velocity = arrays.get("velocity", np.zeros_like(update)) * F32(given["momentum"])
            update = arrays["velocity"] = velocity + update
        arrays["params"] = arrays["params"] - F32(rate(given, t)) * update
    elif name == "nesterov":
        each(nesterov, given, arrays, update, t)
    elif name in ("adam", "adamw", "yogi", "adagrad"):
        each(partial(adaptive, name), given, arrays, update, t)
    else:
        start = arrays.setdefault("start", arrays["params"].copy())
        new = {"projected_sgd": projected, "mirror_descent": mirrored}[name]
        values = (array.astype(float).tolist() for array in (arrays["params"], update, start))
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
    round_: int,
    lengths: Sequence[int],
    *,
    fixed: bool,
    losses: bool,
    examples: bool,
    digest: bool,
    workers: Sequence[int] = (),
) -> int:
    p = number(round_) + field(sum(lengths)) + (0 if fixed else field(sum(map(v, lengths))))
    p += (losses + examples) * field(4 * len(lengths)) + 9 * digest + field(sum(map(v, workers)))
    return pieces(1 + v(p) + p)


def entry(round_: int, body: int, following: Sequence[int] = ()) -> int:
    """``following``: the cohort of the next round."""
    e = number(round_) + body + field(sum(map(v, following)))
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
