"""Settings as dataclass fields, each declared once: type, default, limits, help text, flag and key in a TOML file.

A class of settings is a frozen dataclass whose fields carry ``metadata=described(…)``. Commands make their flags from
``settings_of``; ``merged`` joins what a file and the flags give; ``check_limits`` is the class's ``__post_init__``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from gradwire.common.errors import ConfigError
from gradwire.common.spec import did_you_mean

_METADATA = "setting"
_IN_WORDS = {
    str: "text",
    Path: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "[text, …]",
}


@dataclass(frozen=True)
class Shorthand:
    """A second way to give a setting: ``lr = 0.1`` stands for ``optimizer = "sgd(lr=0.1)"``.

    Attributes:
        template: the setting's value, with ``{!r}`` where the shorthand's own value goes.
    """

    name: str
    kind: type
    help: str
    template: str


@dataclass(frozen=True)
class Description:
    """A field's description for people.

    Attributes:
        help: for ``--help``, without a full stop.
        least: the smallest value of a number.
        most: its largest value.
        choices: the values of a text; None for any.
        unset: what ``--help`` shows instead of a default that means no value.
        metavar: what ``--help`` shows for the value; None for its type.
        short: a flag of one letter.
        shorthand: a second flag and key for the same setting.
        range_from: of a whole number that may be given as ``MIN..MAX``: the name of the setting that takes MIN.
    """

    help: str
    least: float | None = None
    most: float | None = None
    choices: Sequence[str] | None = None
    unset: str | None = None
    metavar: str | None = None
    short: str | None = None
    shorthand: Shorthand | None = None
    range_from: str | None = None


@dataclass(frozen=True)
class Setting:
    """A setting as commands see it.

    Attributes:
        name: of the field, and the key in a file.
        kind: bool, int, float, str, Path, an Enum of texts, or tuple for any number of texts.
        default: None where the field has none, or where it is None.
    """

    name: str
    kind: type
    default: Any
    about: Description


def described(help: str, **about: Any) -> dict[str, Description]:
    """A field's metadata.

    Args:
        help: for ``--help``, without a full stop.
        about: the other attributes of ``Description``.
    """
    return {_METADATA: Description(help, **about)}


def settings_of(cls: type) -> dict[str, Setting]:
    """The settings of a class by name, in the order of its fields; a shorthand follows the field that it is of."""
    hints = get_type_hints(cls)
    found: dict[str, Setting] = {}
    for field in fields(cls):
        about: Description = field.metadata[_METADATA]
        default = None if field.default is MISSING else field.default
        found[field.name] = Setting(field.name, _kind(hints[field.name]), default, about)
        if (short := about.shorthand) is not None:
            found[short.name] = Setting(short.name, short.kind, None, Description(short.help))
    return found


def _kind(hint: Any) -> type:
    """The type of a value that is given: ``int`` for ``int | None``, ``tuple`` for ``tuple[str, ...]``."""
    given = [part for part in get_args(hint) if part is not NoneType]
    kind: type = given[0] if NoneType in get_args(hint) else hint
    origin: type | None = get_origin(kind)
    return origin or kind


def check_limits(instance: Any) -> None:
    """Check every field against its description.

    Raises:
        ConfigError: a number outside its limits, or a text that is none of the choices.
    """
    for name, setting in settings_of(type(instance)).items():
        value = getattr(instance, name, None)  # a shorthand is no field
        about = setting.about
        if value is None:
            continue
        if about.choices is not None and value not in about.choices:
            raise ConfigError(f"{name} is {value!r}{did_you_mean(value, about.choices)}")
        if about.least is not None:
            check_between(name, value, about.least, about.most)


def check_between(name: str, value: float, least: float, most: float | None = None) -> None:
    """Check a number against limits, both included; NaN is outside of any.

    Args:
        name: of the setting, for the error.
        value: its value.
        least: the smallest value.
        most: the largest value; None for no limit.

    Raises:
        ConfigError: it is outside.
    """
    if not (least <= value and (most is None or value <= most)):
        limits = f"at least {least}" if most is None else f"{least} to {most}"
        raise ConfigError(f"{name} is {value}, expected {limits}")


def merged(cls: type, *sources: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the sources give, by field; later sources override earlier ones.

    Raises:
        ConfigError: a key that is no setting, a value of the wrong type, or a setting given beside its shorthand.
    """
    values: dict[str, Any] = {}
    for source in sources:
        values |= _without_shorthands(cls, source)
    return values


def _without_shorthands(cls: type, source: Mapping[str, Any]) -> dict[str, Any]:
    """One source's values, each shorthand replaced by the setting that it stands for."""
    known = settings_of(cls)
    for key in source:
        if key not in known:
            raise ConfigError(f"unknown setting {key!r}{did_you_mean(key, known)}")
    source = _without_ranges(known, source)
    values = {key: typed(key, value, known[key].kind) for key, value in source.items()}
    for name, setting in known.items():
        short = setting.about.shorthand
        if short is None or short.name not in values:
            continue
        text = short.template.format(values.pop(short.name))
        if name in values:
            raise ConfigError(
                f"{short.name} and {name} are both given: write it into the {name}, as in {text}"
            )
        values[name] = text
    return values


def _without_ranges(known: Mapping[str, Setting], source: Mapping[str, Any]) -> dict[str, Any]:
    """One source's values, each ``MIN..MAX`` in place of a whole number replaced by both of them."""
    values = dict(source)
    for name in source:
        least, text = known[name].about.range_from, source[name]
        if least is None or not isinstance(text, str):
            continue
        both = [part.strip() for part in text.split("..")]
        if len(both) > 2 or not all(part.isdecimal() for part in both):
            raise ConfigError(f"{name} is {text!r}, expected a whole number or MIN..MAX, as in 2..10")
        values[name] = int(both[-1])
        if len(both) == 2 and least in source:
            raise ConfigError(f"{name} {text} and {least} are both given: leave {least} out")
        if least not in source:  # an earlier source's MIN does not go with this MAX
            values[least] = int(both[0]) if len(both) == 2 else 0
    return values


def typed(key: str, value: Any, kind: type) -> Any:
    """A value as its setting has it: a whole number as a float, a text as a path or a choice, where that is expected.

    Raises:
        ConfigError: it is not of that kind.
    """
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if issubclass(kind, Enum):
        return _choice(key, value, kind)
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if type(value) is not kind:
        raise ConfigError(f"{key} is {value!r}, expected {_IN_WORDS[kind]}")
    return value


def _choice(key: str, value: Any, kind: type[Enum]) -> Enum:
    known = [str(member.value) for member in kind]
    if value not in known:
        raise ConfigError(f"{key} is {value!r}{did_you_mean(str(value), known)}")
    return kind(value)


def read_toml(path: Path | None) -> dict[str, Any]:
    """The settings in a file, none where there is no path.

    Raises:
        ConfigError: no such file, or not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, too many digits, too deep
        raise ConfigError(f"{path} is not TOML: {error}") from error
