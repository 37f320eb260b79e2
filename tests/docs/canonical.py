"""Canonical specs from docs/protocol.md alone: its tables of parameters, spellings, and what is settled for a dim."""

from __future__ import annotations

import math
import re
from typing import Any

from tests.docs.pages import program, table

PAGE = program("payloads")
NAMES = r"`[a-z0-9_]+`(, `[a-z0-9_]+`)*"
WORDS = {"true": True, "false": False, "none": None}
Spec = tuple[str, dict[str, Any]]  # as docs/payloads.md represents one


def parameters_of(cell: str) -> list[tuple[str, str, str | None]]:
    """(name, type, default) of each parameter in a cell."""
    found = []
    for part in re.split(r",\s*(?=[a-z0-9_]+: )", cell) if cell else []:
        name, rest = part.split(": ", 1)
        kind, _, default = rest.partition(" = ")
        found.append((name, kind, default or None))
    return found


def read_tables() -> dict[str, list[tuple[str, str, str | None]]]:
    """The parameters of every codec, gain, mechanism, optimizer and schedule."""
    found = {}
    for row in table("protocol", "## Canonical specs"):
        for names, parameters in zip(row[::3], row[1::3], strict=False):  # two tables stand side by side
            if re.fullmatch(NAMES, names):
                for name in re.findall(r"[a-z0-9_]+", names):
                    found[name] = parameters_of(parameters)
    return found


TABLE = read_tables()


# ---- any spelling of a spec ------------------------------------------------------------------------------------------


def parsed(text: str) -> Any:
    """(name, positional, named) of a spec, or a value."""
    tokens = re.findall(r"\"[^\"]*\"|[(),=]|[^\s(),=\"]+", text)
    value, rest = _value(tokens)
    assert rest == []
    return value


def _value(tokens: list[str]) -> tuple[Any, list[str]]:
    word, rest = tokens[0], tokens[1:]
    if word.startswith('"'):
        return word[1:-1], rest
    for kind in (int, float):
        try:
            return kind(word), rest
        except ValueError:
            continue
    if word in ("true", "false"):
        return WORDS[word], rest
    if rest[:1] != ["("]:
        return (word, [], {}), rest
    positional, named = [], {}
    while rest[0] != ")":
        if rest[2] == "=":
            named[rest[1]], rest = _value(rest[3:])
        else:
            value, rest = _value(rest[1:])
            positional.append(value)
    return (word, positional, named), rest[1:]


def bound(spec: Any) -> Spec:
    """The spec with every parameter by name and in its type."""
    name, positional, named = spec
    names = [parameter for parameter, _, _ in TABLE[name]]
    given = {**dict(zip(names, positional, strict=False)), **named}
    return name, {
        parameter: _typed(given[parameter] if parameter in given else parsed(str(default)), kind)
        for parameter, kind, default in TABLE[name]
    }


def _typed(value: Any, kind: str) -> Any:
    if value == ("none", [], {}):
        return None
    if kind.startswith("text"):
        return value[0] if isinstance(value, tuple) else value
    return {"float": float, "int": int}.get(kind.split(" or ")[0], lambda same: same)(value)


def spelled(value: Any) -> str:
    """The table of spellings."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        bare = re.fullmatch(r"[A-Za-z_][\w.:/-]*", value) and value not in (*WORDS, "inf", "nan")
        return value if bare else f'"{value}"'
    name, parameters = value
    inside = ", ".join(f"{parameter}={spelled(each)}" for parameter, each in parameters.items())
    return f"{name}({inside})" if inside else name


# ---- what is settled for a dimension -----------------------------------------------------------------------------


def canonical(spec: Any, dim: int) -> Spec:
    name, found = bound(spec)
    if "gain" in found:
        found["gain"] = bound(found["gain"])
    for schedule in found.keys() & {"schedule", "then"}:
        found[schedule] = _schedule(found[schedule], name)
    settle = {
        "gain_shape": _gain_shape, "simq_plus": _simq_plus, "rotated": _rotated, "top_signs": _top_signs,
        "private": _private, "private_top": _private_top, "subsample": _subsample, "ratq": _ratq, "averaged": _wrapper,
        "clipped": _wrapper, "sgd": _sgd, "float32_tail": _float32_tail, "lq_split": _lq_split,
        "mirror_descent": _mirror_descent,
    }  # fmt: skip
    if name in settle:
        settle[name](found, dim)
    return name, found


def _without_gain(spec: Any, dim: int) -> Spec:
    name, found = canonical(spec, dim)
    return name, {parameter: value for parameter, value in found.items() if parameter != "gain"}


def _gain_shape(found: dict[str, Any], dim: int) -> None:
    found["shape"] = _without_gain(found["shape"], dim)


def _wrapper(found: dict[str, Any], dim: int) -> None:
    found["inner"] = canonical(found["inner"], dim)


def _float32_tail(found: dict[str, Any], dim: int) -> None:
    found["codec"] = canonical(found["codec"], dim - found["size"])


def _schedule(value: Any, optimizer: str) -> Spec:
    spec = (value, [], {}) if isinstance(value, str) else value
    by_fields = spec == ("step", [], {}) and optimizer in ("sgd", "projected_sgd", "mirror_descent")
    return ("step", {}) if by_fields else canonical(spec, 1)


def _sgd(found: dict[str, Any], dim: int) -> None:
    if found["weight_decay"] == 0:
        del found["weight_decay"]


def _mirror_descent(found: dict[str, Any], dim: int) -> None:
    if found["domain"] == "ball":
        del found["domain"]


def _rotated(found: dict[str, Any], dim: int) -> None:
    found["inner"] = canonical(found["inner"], PAGE["next_power_of_two"](dim))


def _simq_plus(found: dict[str, Any], dim: int) -> None:
    found["repeats"] = found["repeats"] or max(1, math.floor(dim ** (2 / found["p"]) + 1e-9))


def _top_signs(found: dict[str, Any], dim: int) -> None:
    if found["rotations"] == 1:
        del found["rotations"]


def _private(found: dict[str, Any], dim: int) -> None:
    name, codec = found["codec"] = _without_gain(found["codec"], dim)
    vertices = PAGE["build"]((name, {**codec, "gain": ("bound", {"bound": 1.0})}), dim).vertices
    mechanism, given = found["mechanism"] = bound(found["mechanism"])
    if mechanism == "subset_selection" and given["w"] is None:
        given["w"] = max(1, min(vertices - 1, round(vertices / (PAGE["exp"](given["epsilon"]) + 1))))


def _private_top(found: dict[str, Any], dim: int) -> None:
    found["axes"] = found["axes"] or max(64, PAGE["next_power_of_two"](dim))
    if found["w"] is None:
        each = found["epsilon"] / found["repeats"]
        odds = PAGE["exp_fraction"](each - 2.0**-31 * min(1.0, each))
        found["w"] = PAGE["best_count"](float(odds), found["axes"])


def _subsample(found: dict[str, Any], dim: int) -> None:
    if found["fraction"] is found["count"] is found["budget"] is None:
        found["fraction"] = 0.1
    if found["fraction"] is not None:
        found["count"] = max(1, round(found["fraction"] * dim))
    if found["budget"] is not None:
        fitting = [n for n in range(1, dim + 1) if _bits(found["inner"], n) <= found["budget"]]
        found["count"] = max(fitting)
    found["fraction"] = found["budget"] = None
    found["inner"] = canonical(found["inner"], found["count"])


def _bits(spec: Any, dim: int) -> int:
    return _bits_of(canonical(spec, dim), dim)


def _bits_of(spec: Spec, dim: int) -> int:
    return int(PAGE["build"](spec, dim).nbits)


def _lq_split(found: dict[str, Any], dim: int) -> None:
    if found["positions"] is None:
        codes = ["mask", "elias_fano", "set"][: 2 if dim > 1 << 20 else 3]
        bits = {code: _bits_of(("lq_split", {**found, "positions": code}), dim) for code in codes}
        found["positions"] = min(codes, key=bits.__getitem__)


def _ratq(found: dict[str, Any], dim: int) -> None:
    size = PAGE["next_power_of_two"](dim)
    range_bits = PAGE["range_bits"](size)
    if found["budget"] is not None:
        found["count"] = _ratq_count(found, size, range_bits)
    if found["count"] == size:
        found["count"] = None
    found["group"] = found["group"] or (max(1, range_bits) if found["count"] is None else 1)
    found["levels"] = found["levels"] or _levels(found["group"])
    found["budget"] = None


def _ratq_count(found: dict[str, Any], size: int, range_bits: int) -> int | None:
    left = found["budget"] - PAGE["Gain"](found["gain"]).nbits
    whole, group = found["group"] or max(1, range_bits), found["group"] or 1
    everything = -(-size // whole) * range_bits + size * PAGE["width"](found["levels"] or _levels(whole))
    if everything <= left:
        return None
    level_bits = PAGE["width"](found["levels"] or _levels(group))
    bits = range_bits + group * level_bits
    return int(left // bits * group + max(0, left % bits - range_bits) // level_bits)


def _levels(group: int) -> int:
    return (1 << math.ceil(math.log2(2 + math.sqrt(9 + 3 * math.log(group))))) - 1
