"""Parts by name: what specs name is registered once, found with a hint for a misspelt name, and built from its spec."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from gradwire.common.errors import SpecError
from gradwire.common.extensions import import_target, installed
from gradwire.common.spec import Spec, bind_arguments, did_you_mean

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class Registry(Mapping[str, type[T]]):
    """The dataclasses of one kind, by the ``name`` that each declares: a read-only mapping.

    Parts of this package register themselves when their module is imported. Parts from outside do so too, or are let
    in by the local command line (``allow``), or are entry points of installed packages; ``external`` names them.
    """

    def __init__(
        self, kind: str, base: type[Any] = object, group: str | None = None, flag: str | None = None
    ) -> None:
        """Make an empty registry.

        Args:
            kind: in the singular, as errors name it: ``"codec"``.
            base: what a class from outside must inherit.
            group: entry points of this group belong to it; they are loaded when the registry is first read.
            flag: of the command line, with which a user allows a class; named where a name is unknown.
        """
        self._kind = kind
        self._base = base
        self._group = group
        self._flag = flag
        self._classes: dict[str, type[T]] = {}
        self._unusable: dict[str, SpecError] = {}

    def __getitem__(self, name: str) -> type[T]:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    @property
    def external(self) -> frozenset[str]:
        """Names of the parts from outside this package."""
        return frozenset(name for name, cls in self.items() if is_external(cls))

    @property
    def unusable(self) -> Mapping[str, SpecError]:
        """Entry points that could not be loaded, by name, and why."""
        self._known()
        return dict(self._unusable)

    def register(self, cls: C) -> C:
        """Class decorator: make a class known under its ``name``.

        Raises:
            SpecError: the name is taken; nothing is ever overwritten.
        """
        if cls.name in self._classes:
            other = self._classes[cls.name].__qualname__
            raise SpecError(f"two {self._kind}s are called {cls.name!r}: {other} and {cls.__qualname__}")
        self._classes[cls.name] = cls
        return cls

    def allow(self, targets: Iterable[str]) -> None:
        """Import and let in what the local command line allows, each ``package.module:Class``.

        Raises:
            SpecError: one cannot be imported, or is no such class.
        """
        for target in targets:
            self._admit(import_target(target), target)

    def find(self, name: str) -> type[T]:
        """The class of that name.

        Raises:
            SpecError: there is none (the message names the nearest), or its package cannot be loaded.
        """
        if name in self:
            return self[name]
        if name in self._unusable:
            raise self._unusable[name]
        own = f"; for one of your own pass {self._flag} package.module:Class" if self._flag else ""
        raise SpecError(f"unknown {self._kind} {name!r}{did_you_mean(name, self)}{own}")

    def build(self, spec: Spec, **more: Any) -> T:
        """What a spec describes; ``more`` are arguments that no spec can set.

        Raises:
            SpecError: an unknown name or argument, or a value outside its range.
        """
        cls = self.find(spec.name)
        return cls(**more, **bind_arguments(spec, cls))

    def _known(self) -> Mapping[str, type[T]]:
        """All classes, after the entry points were loaded: all of them and once, whatever was asked for."""
        group, self._group = self._group, None
        for name, part in installed(group).items() if group is not None else ():
            try:
                if isinstance(part, SpecError):
                    raise part
                self._admit(part, f"entry point {name!r} of {group}", name)
            except SpecError as error:
                self._unusable[name] = error
        return self._classes

    def _admit(self, part: Any, origin: str, expected: str | None = None) -> None:
        if not (isinstance(part, type) and issubclass(part, self._base) and is_dataclass(part)):
            raise SpecError(f"{origin} is {part!r}, expected a dataclass that inherits {self._base.__name__}")
        name = getattr(part, "name", None)
        if not isinstance(name, str) or name != (expected or name):
            raise SpecError(
                f"{origin} has the name {name!r}: write `name = {expected or '…'!r}` into the class"
            )
        if self._classes.get(name) is not part:  # it may have registered itself, and may be allowed twice
            self.register(part)


def is_external(part: type[Any]) -> bool:
    """Whether a class was defined outside this package."""
    return part.__module__.partition(".")[0] != "gradwire"


def import_submodules(package: str, path: Iterable[str]) -> None:
    """Import every module below a package, so that adding a part is adding a file.

    Args:
        package: the package's ``__name__``.
        path: its ``__path__``. Folders are searched too; only modules of the package itself are imported.
    """
    for module in sorted(m.name for m in pkgutil.walk_packages(path, f"{package}.")):
        importlib.import_module(module)
