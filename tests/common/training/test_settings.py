"""Settings as dataclass fields: their descriptions, limits, types, and how sources are merged."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.settings import (
    Shorthand,
    check_limits,
    described,
    merged,
    read_toml,
    settings_of,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Toy:
    name: str = field(metadata=described("Its name"))
    size: int | None = field(default=None, metadata=described("Its size", least=1, most=9))
    weight: float = field(
        default=1.0,
        metadata=described(
            "Weight", least=0, shorthand=Shorthand("grams", int, "Weight in grams", "{!r}e-3")
        ),
    )
    shape: str = field(default="round", metadata=described("Shape", choices=("round", "flat")))
    colour: Colour = field(default=Colour.RED, metadata=described("Colour"))
    folder: Path | None = field(default=None, metadata=described("Where it is kept"))
    tags: tuple[str, ...] = field(default=(), metadata=described("Tags"))
    sold: bool = field(default=False, metadata=described("Sold"))

    def __post_init__(self) -> None:
        check_limits(self)


def test_fields_become_settings_in_their_order() -> None:
    kinds = {name: setting.kind for name, setting in settings_of(Toy).items()}
    assert list(kinds.items()) == [
        ("name", str), ("size", int), ("weight", float), ("grams", int), ("shape", str), ("colour", Colour),
        ("folder", Path), ("tags", tuple), ("sold", bool),
    ]  # fmt: skip
    assert settings_of(Toy)["shape"].default == "round" and settings_of(Toy)["name"].default is None


def test_values_get_the_type_of_their_field() -> None:
    values = merged(Toy, {"weight": 2, "folder": "a/b", "tags": ["x", "y"], "colour": "blue", "sold": True})
    assert values == {
        "weight": 2.0, "folder": Path("a/b"), "tags": ("x", "y"), "colour": Colour.BLUE, "sold": True,
    }  # fmt: skip
    assert type(values["weight"]) is float and type(values["colour"]) is Colour
    assert merged(Toy, values) == values


def test_later_sources_override_earlier_ones() -> None:
    assert merged(Toy, {"name": "a", "size": 1}, {"size": 2}, {}) == {"name": "a", "size": 2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": True}, "size is True, expected a whole number"),
        ({"size": "3"}, "size is '3', expected a whole number"),
        ({"size": 2.0}, "size is 2.0, expected a whole number"),
        ({"weight": True}, "weight is True, expected a number"),
        ({"name": 3}, "name is 3, expected text"),
        ({"folder": 3}, "folder is 3, expected text"),
        ({"sold": 1}, "sold is 1, expected true or false"),
        ({"tags": "x"}, r"tags is 'x', expected \[text"),
        ({"tags": ["x", 1]}, r"tags is \['x', 1\], expected \[text"),
        ({"colour": "read"}, "colour is 'read': did you mean red"),
        ({"colour": 3}, "colour is 3"),
        ({"sice": 3}, "unknown setting 'sice': did you mean size"),
    ],
)
def test_values_of_the_wrong_type_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        merged(Toy, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size is 0, expected 1 to 9"),
        ({"size": 10}, "size is 10, expected 1 to 9"),
        ({"weight": -1.0}, "weight is -1.0, expected at least 0"),
        ({"weight": math.nan}, "weight is nan, expected at least 0"),
        ({"shape": "flatt"}, "shape is 'flatt': did you mean flat"),
    ],
)
def test_values_outside_their_limits_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Toy(name="a", **values)
    Toy(name="a", size=9, weight=0.0, shape="flat")


def test_a_shorthand_stands_for_its_setting_within_one_source() -> None:
    assert merged(RunConfig, {"lr": 2}) == {"optimizer": "sgd(lr=2.0)"}
    assert merged(RunConfig, {"lr": 2}, {"optimizer": "sgd(lr=0.7)"}) == {"optimizer": "sgd(lr=0.7)"}
    assert merged(RunConfig, {"optimizer": "sgd(lr=0.7)"}, {"lr": 2}) == {"optimizer": "sgd(lr=2.0)"}
    with pytest.raises(
        ConfigError, match=r"lr and optimizer are both given: write it into the optimizer, as in"
    ):
        merged(RunConfig, {"lr": 2, "optimizer": "sgd(lr=0.7)"})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*no\.toml: No such file"):
        read_toml(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_bytes(b"a = \xff")
    with pytest.raises(ConfigError, match=r"bad\.toml is not TOML"):
        read_toml(tmp_path / "bad.toml")
    assert read_toml(None) == {}


def test_every_setting_of_a_run_is_described() -> None:
    assert all(setting.about.help for setting in settings_of(RunConfig).values())
