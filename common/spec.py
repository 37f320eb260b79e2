"""The specification language: ``cross_polytope(repeats=100)``, ``logistic(a9a)``, ``sgd(lr=0.1)``.

A spec is a name and its arguments; an argument is a number, ``true``/``false``, a word, a quoted string, or
another spec. The same language describes codecs, tasks and optimizers, on the command line, in TOML and on
the wire. It names things; it never imports or evaluates anything.

Grammar::

    spec     = word [ "(" [ argument { "," argument } ] ")" ]
    argument = [ word "=" ] value
    value    = number | "true" | "false" | "none" | quoted | spec
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, get_type_hints

from gradwire.common.errors import SpecError

MAX_TEXT = 4096  # characters; a spec arrives from the network, so its size is bounded before it is read
MAX_DEPTH = 8
MOST_LISTED = 100  # names in a hint
MOST_COMPARED = 2_000  # names that a hint looks at: those of a file may be many and long
_COMPARED = 64  # characters of them

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf|nan)(?![\w.:/-]))
    | (?P<word>[A-Za-z_][\w.:/-]*)
    | (?P<quoted>"[^"]*"|'[^']*')
    | (?P<mark>[(),=])
    )""",
    re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z_][\w.:/-]*")
# Words with a meaning of their own, which text must quote.
_VALUES = frozenset({"true", "false", "none", "inf", "nan"})


@dataclass(frozen=True)
class Spec:
    """A name with positional and named arguments, exactly as written.

    A bare word is a Spec without arguments; ``text`` gives it back to fields that want a string.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for word in (self.name, *(key for key, _ in self.kwargs)):
            if not _WORD.fullmatch(word):
                raise SpecError(f"{word!r} is not a name: write a letter, then letters, digits and . : / - _")

    def __str__(self) -> str:
        parts = [format_value(a) for a in self.args] + [f"{k}={format_value(v)}" for k, v in self.kwargs]
        return f"{self.name}({', '.join(parts)})" if parts else self.name


def format_value(value: Any) -> str:
    """The spelling of one argument; ``parse_spec`` reads it back to an equal value."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and (value in _VALUES or not _WORD.fullmatch(value)):
        if '"' in value or not value.isprintable():
            raise SpecError(
                f"the text {value!r} holds a double quote or a control character: specs cannot spell that"
            )
        return f'"{value}"'
    return repr(float(value)) if isinstance(value, float) else str(value)


def parse_spec(text: str) -> Spec:
    """Read one spec.

    Raises:
        SpecError: not in the grammar, over-long or nested too deeply.

    >>> parse_spec("subsample(0.5, ratq(levels=7))").kwargs
    ()
    >>> str(parse_spec(" mlp( mnist,hidden=1000 )"))
    'mlp(mnist, hidden=1000)'
    """
    if len(text) > MAX_TEXT:
        raise SpecError(f"the spec has {len(text)} characters: at most {MAX_TEXT} are read")
    tokens = _tokenise(text)
    value, end = _value(tokens, 0, text, 0)
    if not isinstance(value, Spec):
        raise SpecError(f"{text!r} is a value, expected a name such as float32 or sgd(lr=0.1)")
    if end != len(tokens):
        raise SpecError(f"{text!r}: unexpected {tokens[end][1]!r} after {value}")
    return value


def _tokenise(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None:
            raise SpecError(f"{text!r}: cannot read {stripped[at : at + 12]!r}; write name(value, key=value)")
        assert match.lastgroup is not None
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens


def _value(tokens: list[tuple[str, str]], at: int, text: str, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise SpecError(f"the spec is nested more than {MAX_DEPTH} deep")
    if at >= len(tokens):
        raise SpecError(f"{text!r} ends where a value was expected")
    kind, token = tokens[at]
    if kind == "number":
        return _number(token), at + 1
    if kind == "quoted":
        return token[1:-1], at + 1
    if kind == "mark":
        raise SpecError(f"{text!r}: a value was expected before {token!r}")
    if token in ("true", "false"):
        return token == "true", at + 1
    if at + 1 < len(tokens) and tokens[at + 1] == ("mark", "("):
        return _call(token, tokens, at + 2, text, depth)
    return Spec(token), at + 1


def _number(token: str) -> int | float:
    if not re.fullmatch(r"[+-]?\d+", token):
        return float(token)
    value = int(token)
    if not -(1 << 63) <= value < 1 << 63:  # what crosses the wire as an integer
        raise SpecError(
            f"{token[:24]}{'…' * (len(token) > 24)} is beyond 64 bits: write 1e20 for a real number"
        )
    return value


def _call(name: str, tokens: list[tuple[str, str]], at: int, text: str, depth: int) -> tuple[Spec, int]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    while at < len(tokens) and tokens[at] != ("mark", ")"):
        if tokens[at][0] == "word" and at + 1 < len(tokens) and tokens[at + 1] == ("mark", "="):
            key = tokens[at][1]
            if key in kwargs:
                raise SpecError(f"{text!r}: {key} is given twice")
            kwargs[key], at = _value(tokens, at + 2, text, depth + 1)
        else:
            if kwargs:
                raise SpecError(f"{text!r}: a value without a name stands after a named one")
            value, at = _value(tokens, at, text, depth + 1)
            args.append(value)
        if at < len(tokens) and tokens[at] == ("mark", ","):
            at += 1
        elif at < len(tokens) and tokens[at] != ("mark", ")"):
            raise SpecError(f"{text!r}: a comma or ) was expected before {tokens[at][1]!r}")
    if at >= len(tokens):
        raise SpecError(f"{text!r}: a closing ) is missing")
    return Spec(name, tuple(args), tuple(kwargs.items())), at + 1


T = TypeVar("T")


def parameter_fields(cls: type[Any]) -> tuple[Field[Any], ...]:
    """The fields of a dataclass that a spec may set, in positional order.

    Metadata: ``spec=False`` hides a field; ``first=True`` puts it before the inherited ones; ``later=True``
    marks a field that older specs lack, see ``spelled``.
    """
    return _parameters(cls).fields  # type: ignore[arg-type]  # mypy takes the hash of instances for that of the class


def spelled(built: Any) -> dict[str, Any]:
    """The parameters of a built object by name, for its canonical spelling.

    Those that came ``later`` are left out at their defaults: an older spec is still the same, and so its fingerprint.
    """
    return {
        f.name: value
        for f in parameter_fields(type(built))
        if (value := getattr(built, f.name)) != f.default or not f.metadata.get("later", False)
    }


class _Parameters(NamedTuple):
    fields: tuple[Field[Any], ...]
    hints: Mapping[str, Any]


@cache
def _parameters(cls: type[Any]) -> _Parameters:
    """A class's parameters, cached: resolving annotations is most of the time that building a codec takes."""
    shown = [f for f in fields(cls) if f.init and f.metadata.get("spec", True)]
    in_order = sorted(shown, key=lambda f: not f.metadata.get("first", False))
    return _Parameters(tuple(in_order), MappingProxyType(get_type_hints(cls)))


def bind_arguments(spec: Spec, cls: type[Any]) -> dict[str, Any]:
    """Match a spec's arguments to the dataclass's parameters, with types checked and defaults filled in.

    Raises:
        SpecError: an unknown, doubled, missing or wrongly typed argument.
    """
    known, hints = _parameters(cls)  # type: ignore[arg-type]
    names = [f.name for f in known]
    if len(spec.args) > len(names):
        raise SpecError(
            f"{spec.name} takes {len(names)} arguments ({', '.join(names)}), got {len(spec.args)}"
        )
    given = dict(zip(names, spec.args, strict=False))
    for key, value in spec.kwargs:
        if key not in names:
            raise SpecError(f"{spec.name} has no argument {key!r}{did_you_mean(key, names)}")
        if key in given:
            raise SpecError(f"{spec.name}: {key} is given twice")
        given[key] = value
    for field in known:
        if field.name in given:
            given[field.name] = _coerce(given[field.name], hints[field.name], f"{spec.name}: {field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise SpecError(f"{spec.name} needs {field.name}: write {spec.name}({field.name}=…)")
    return given


def _coerce(value: Any, hint: Any, where: str) -> Any:
    options = getattr(hint, "__args__", None) or (hint,)
    if type(None) in options and value in (None, Spec("none")):
        return None
    if Spec in options and isinstance(value, Spec):
        return value
    if str in options:
        if isinstance(value, Spec) and not value.args and not value.kwargs:
            return value.name
        if isinstance(value, str):
            return value
    if bool in options and isinstance(value, bool):
        return value
    if not isinstance(value, bool):
        if int in options and isinstance(value, int):
            return value
        # An integer of 1024 bits or more is beyond float64.
        if float in options and (
            isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 1024)
        ):
            return float(value)
        if int in options and isinstance(value, float) and math.isfinite(value) and value.is_integer():
            return int(value)
    wanted = " or ".join(getattr(o, "__name__", str(o)) for o in options if o is not type(None))
    raise SpecError(f"{where} is {format_value(value)}, expected {wanted}")


def spec_of(built: Any) -> Spec:
    """The one canonical spec of a built object: every parameter by name, defaults included (but see ``spelled``)."""
    return Spec(built.name, (), tuple(spelled(built).items()))


def fingerprint(text: str) -> bytes:
    """16 bytes that both ends compare: BLAKE2b of a canonical spelling, not of protobuf bytes."""
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"gradwire-spec").digest()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to an unknown-name error: the nearest known name, else all of them, or the first of many."""
    known = sorted(known)
    near = difflib.get_close_matches(
        word[:_COMPARED], [name for name in known[:MOST_COMPARED] if len(name) <= _COMPARED], n=1
    )
    some = [*known[:MOST_LISTED], *["…"] * (len(known) > MOST_LISTED)]
    return f": did you mean {near[0]}?" if near else f"; known: {', '.join(some) or 'none'}"


def first_twice(names: Iterable[str]) -> str | None:
    """The first name that is there a second time; None where all are different."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
