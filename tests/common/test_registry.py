"""A registry's classes: no name is taken over, a wrong one gets a hint, and a spec builds what it says."""

import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from gradwire.common import extensions
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


def test_name_conflict_names_both_classes(vessels: Registry[Cup]) -> None:
    with pytest.raises(SpecError, match=r"^two vessels are called 'cup': Cup and Impostor$"):
        vessels.register(Impostor)
    assert vessels == {"cup": Cup, "beaker": Beaker}


def test_registering_a_class_twice_is_refused(vessels: Registry[Cup]) -> None:
    with pytest.raises(SpecError, match="two vessels are called 'cup': Cup and Cup"):
        vessels.register(Cup)


def test_lookup_by_name(vessels: Registry[Cup]) -> None:
    assert vessels.find("beaker") is Beaker


@pytest.mark.parametrize(
    ("name", "hint"), [("beeker", ": did you mean beaker?"), ("zzz", "; known: beaker, cup")]
)
def test_unknown_name_gets_a_hint(vessels: Registry[Cup], name: str, hint: str) -> None:
    says = f"unknown vessel '{name}'{hint}"
    for look_up in (vessels.find, lambda name: vessels.build(parse_spec(name))):
        with pytest.raises(SpecError) as caught:
            look_up(name)
        assert str(caught.value) == says


@pytest.mark.parametrize("text", ["cup(2, 3)", "cup(handles=3, volume=2.0)"])
def test_build_from_a_spec(vessels: Registry[Cup], text: str) -> None:
    built = vessels.build(parse_spec(text))
    assert built == Cup(2.0, 3) and type(built) is Cup and type(built.volume) is float


def test_extra_arguments_are_passed_on(vessels: Registry[Cup]) -> None:
    assert vessels.build(parse_spec("beaker(0.5)"), owner="Ada") == Beaker(0.5, owner="Ada")
    with pytest.raises(SpecError, match="cup has no argument 'owner'"):
        vessels.build(parse_spec("cup(0.5, owner=Ada)"))


@pytest.mark.parametrize("text", ["cup", "cup(big)", "cup(1, 2, 3)", "cup(1, volume=2)"])
def test_arguments_are_checked(vessels: Registry[Cup], text: str) -> None:
    with pytest.raises(SpecError, match=r"^cup"):
        vessels.build(parse_spec(text))


# ---- parts from outside ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vase(Cup):
    name = "vase"


@dataclass(frozen=True)
class Nameless(Cup):
    name = None  # type: ignore[assignment]


class NoDataclass:
    name = "bottle"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A user's module."""
    module = ModuleType("shop")
    vars(module).update(Vase=Vase, Nameless=Nameless, Bottle=NoDataclass, Cup=Cup, price=3)
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


def test_allowed_class_is_external(shop: ModuleType) -> None:
    registry: Registry[Cup] = Registry("vessel", Cup)
    registry.allow(["shop:Vase"])
    registry.allow(["shop:Vase"])  # a flag may be given twice
    assert registry.find("vase") is Vase and registry.external == {"vase"}


def test_class_of_this_package_is_not_external(
    vessels: Registry[Cup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vase, "__module__", "gradwire.common.vessels")
    vessels.register(Vase)
    assert "vase" not in vessels.external


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("shop", "the target is 'shop', expected package.module:name"),
        ("shop:Vace", "cannot import shop:Vace"),
        ("no_such_shop:Vase", "cannot import no_such_shop:Vase: No module named 'no_such_shop'"),
        ("shop:price", "shop:price is 3, expected a dataclass that inherits Cup"),
        ("shop:Bottle", "expected a dataclass that inherits Cup"),
        ("shop:Nameless", "write `name = '…'` into the class"),
        ("shop:Cup", "two vessels are called 'cup': Cup and Cup"),
    ],
)
def test_unusable_target_is_one_line(shop: ModuleType, target: str, says: str) -> None:
    registry: Registry[Cup] = Registry("vessel", Cup)
    registry.register(type("Cup", (Cup,), {}))
    with pytest.raises(SpecError) as caught:
        registry.allow([target])
    assert says in str(caught.value) and "\n" not in str(caught.value)


def installed_as(monkeypatch: pytest.MonkeyPatch, **entries: str) -> list[str]:
    """Declare entry points; returns the groups that are asked for."""
    asked: list[str] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint(name, value, group) for name, value in entries.items()]

    monkeypatch.setattr(extensions, "entry_points", entry_points)
    return asked


def test_entry_points_load_once_and_all(shop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = installed_as(monkeypatch, vase="shop:Vase")
    registry: Registry[Cup] = Registry("vessel", Cup, "gradwire.vessels")
    registry.register(Cup)
    assert asked == []
    assert sorted(registry) == ["cup", "vase"] and registry.find("vase") is Vase
    assert asked == ["gradwire.vessels"] and registry.external >= {"vase"}


def test_broken_package_leaves_the_others_usable(shop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_as(monkeypatch, vase="shop:Vase", jug="no_such_shop:Jug", pot="shop:Vase", cup="shop:Vase")
    registry: Registry[Cup] = Registry("vessel", Cup, "gradwire.vessels")
    registry.register(Cup)
    assert registry.find("vase") is Vase and registry.find("cup") is Cup
    with pytest.raises(SpecError, match="'jug' of an installed package: cannot import no_such_shop:Jug"):
        registry.find("jug")
    assert set(registry.unusable) == {"jug", "pot", "cup"}
