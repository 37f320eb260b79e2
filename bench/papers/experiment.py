"""What an experiment is, and all of them by name."""

from __future__ import annotations

import hashlib
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from gradwire.common.errors import ConfigError
from gradwire.common.spec import did_you_mean
from gradwire.deploy.report.document import Document

Params = Mapping[str, Any]  # JSON values by name


@dataclass(frozen=True)
class Measured:
    """A case with its result.

    Attributes:
        params: of the case.
        result: what ``measure`` returned, as JSON gives it back: tuples are lists, infinity and NaN are None.
    """

    params: Params
    result: Any


class Experiment(ABC):
    """A figure or a table.

    Attributes:
        name: on the command line and of its files: ``vqsgd-figure-1``.
        title: what is measured, in one line.
        source: where it is printed: ``[V] Figure 1``.
        alone: its cases time something, so they run one at a time.
        repeatable: a second run gives the same numbers: its cases draw from seeds alone, and time nothing.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    alone: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True

    @abstractmethod
    def cases(self, *, full: bool) -> Sequence[Params]:
        """The cases, the longest first: keyword arguments of ``measure``, JSON values all.

        Args:
            full: everything; else what fits, with all other experiments, in half an hour on two cores.
        """

    @abstractmethod
    def measure(self, *args: Any, **params: Any) -> Any:
        """The result of one case as JSON values; it is called in a process of its own, with one thread."""

    @abstractmethod
    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        """What is shown, from the results in the order of the cases; facts and data are added by the caller."""

    def fingerprint(self, *, full: bool) -> str:
        """Changes with the release, the scale, the experiment's file and the modules beside this one.

        Results with another fingerprint are not mixed in.
        """
        own = inspect.getsource(sys.modules[type(self).__module__])
        shared = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
        text = "\0".join((version("gradwire"), str(full), own, *shared))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


_EXPERIMENTS: dict[str, Experiment] = {}
E = TypeVar("E", bound=type[Experiment])


def register(cls: E) -> E:
    """Class decorator: make an experiment known under its name.

    Raises:
        ConfigError: the name is taken.
    """
    if cls.name in _EXPERIMENTS:
        raise ConfigError(f"two experiments are called {cls.name}")
    _EXPERIMENTS[cls.name] = cls()
    return cls


def experiments() -> Mapping[str, Experiment]:
    """All experiments by name, in the order of their names."""
    import gradwire.bench.papers.experiments  # noqa: F401 - its files register themselves

    return MappingProxyType(dict(sorted(_EXPERIMENTS.items())))


def find(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    known = experiments()
    if name not in known:
        raise ConfigError(f"there is no figure or table {name!r}{did_you_mean(name, known)}")
    return known[name]
