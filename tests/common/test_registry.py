"""A registry's classes: no name is taken over, a wrong one gets a hint, and a spec builds what it says."""

from dataclasses import dataclass, field

import pytest

from gradwire.common.errors import SpecError
from gradwire.common.registry import Registry
from gradwire.common.spec import parse_spec


@dataclass(frozen=True)
class Cup:
    owner: str = field(default="", metadata={"spec": False}, kw_only=True)
    volume: float
    handles: int = 1

    name = "cup"


class Beaker(Cup):
    name = "beaker"


class Impostor(Cup):
    pass


@pytest.fixture
def vessels() -> Registry[Cup]:
    registry: Registry[Cup] = Registry("vessel")
    assert registry.register(Cup) is Cup
    assert registry.register(Beaker) is Beaker
    return registry


def test_two_of_one_name_are_refused_and_both_are_named(vessels: Registry[Cup]) -> None:
    with pytest.raises(SpecError, match=r"^two vessels are called 'cup': Cup and Impostor$"):
        vessels.register(Impostor)
    assert vessels == {"cup": Cup, "beaker": Beaker}


def test_even_the_same_class_is_registered_once(vessels: Registry[Cup]) -> None:
    with pytest.raises(SpecError, match="two vessels are called 'cup': Cup and Cup"):
        vessels.register(Cup)


def test_a_class_by_its_name(vessels: Registry[Cup]) -> None:
    assert vessels.find("beaker") is Beaker


@pytest.mark.parametrize(
    ("name", "hint"), [("beeker", ": did you mean beaker?"), ("zzz", "; known: beaker, cup")]
)
def test_an_unknown_name_gets_a_hint(vessels: Registry[Cup], name: str, hint: str) -> None:
    says = f"unknown vessel '{name}'{hint}"
    for look_up in (vessels.find, lambda name: vessels.build(parse_spec(name))):
        with pytest.raises(SpecError) as caught:
            look_up(name)
        assert str(caught.value) == says


@pytest.mark.parametrize("text", ["cup(2, 3)", "cup(handles=3, volume=2.0)"])
def test_a_spec_builds_what_it_says(vessels: Registry[Cup], text: str) -> None:
    built = vessels.build(parse_spec(text))
    assert built == Cup(2.0, 3) and type(built) is Cup and type(built.volume) is float


def test_arguments_that_no_spec_sets_are_passed_on(vessels: Registry[Cup]) -> None:
    assert vessels.build(parse_spec("beaker(0.5)"), owner="Ada") == Beaker(0.5, owner="Ada")
    with pytest.raises(SpecError, match="cup has no argument 'owner'"):
        vessels.build(parse_spec("cup(0.5, owner=Ada)"))


@pytest.mark.parametrize("text", ["cup", "cup(big)", "cup(1, 2, 3)", "cup(1, volume=2)"])
def test_arguments_are_checked(vessels: Registry[Cup], text: str) -> None:
    with pytest.raises(SpecError, match=r"^cup"):
        vessels.build(parse_spec(text))
