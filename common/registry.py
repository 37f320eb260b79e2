"""Parts by name: what specs name is registered once, found with a hint for a misspelt name, and built from its spec."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any, TypeVar

from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec, bind_arguments, did_you_mean

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class Registry(dict[str, type[T]]):
    """The dataclasses of one kind, by the ``name`` that each declares."""

    def __init__(self, kind: str) -> None:
        """Name the kind in the singular, as errors do: ``"codec"``."""
        super().__init__()
        self._kind = kind

    def register(self, cls: C) -> C:
        """Class decorator: make a class known under its ``name``.

        Raises:
            SpecError: the name is taken; nothing is ever overwritten.
        """
        if cls.name in self:
            raise SpecError(
                f"two {self._kind}s are called {cls.name!r}: {self[cls.name].__qualname__} and {cls.__qualname__}"
            )
        self[cls.name] = cls
        return cls

    def find(self, name: str) -> type[T]:
        """The class of that name.

        Raises:
            SpecError: there is none; says which is nearest.
        """
        if name not in self:
            raise SpecError(f"unknown {self._kind} {name!r}{did_you_mean(name, self)}")
        return self[name]

    def build(self, spec: Spec, **more: Any) -> T:
        """What a spec describes; ``more`` are arguments that no spec can set.

        Raises:
            SpecError: an unknown name or argument, or a value outside its range.
        """
        cls = self.find(spec.name)
        return cls(**more, **bind_arguments(spec, cls))


def import_submodules(package: str, path: Iterable[str]) -> None:
    """Import every module below a package, so that adding a part is adding a file.

    Args:
        package: the package's ``__name__``.
        path: its ``__path__``. Folders are searched too; only modules of the package itself are imported.
    """
    for module in sorted(m.name for m in pkgutil.walk_packages(path, f"{package}.")):
        importlib.import_module(module)
