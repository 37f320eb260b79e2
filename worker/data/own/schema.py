"""What a site's data must be like: columns in order, label, classes, scaling. The same at every site of a run.

Nothing of it is inferred from one site's rows: a site that lacks a class is normal, and sites that standardise each by
itself would train different models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from gradwire.common.errors import DataError
from gradwire.common.spec import first_twice
from gradwire.worker.data.dataset import Features
from gradwire.worker.data.own.base import MAX_FEATURES, Format, Gaps
from gradwire.worker.data.own.labels import MAX_CLASSES, label_text

LARGEST, SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Schema:
    """A table of numbers with a label per row.

    Attributes:
        format: kind of file, and its options.
        names: of the features, in order; 1, 2, … where the format numbers them.
        label: name of the label; empty where the format has none.
        classes: labels of class 0, 1, …, as ``label_text`` spells them.
        offsets, scales: a feature x becomes (x - offset) / scale [features].
        missing: what a feature is where a row lacks it, before scaling [features]; None: that is refused.

    Raises:
        DataError: a name twice, no class, or a scale that is 0.
    """

    format: Format
    names: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    offsets: tuple[float, ...]
    scales: tuple[float, ...]
    missing: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        _require_distinct("feature", self.names, MAX_FEATURES)
        _require_distinct("class", self.classes, MAX_CLASSES)
        if not self.names:
            raise DataError("the schema has no features, expected at least one")
        if len(self.classes) < 2:
            raise DataError(f"the schema has {len(self.classes)} classes, expected at least 2")
        if self.format.labelled and not (self.label and self.label.isprintable()):
            raise DataError(
                f"the schema has the label {self.label[:40]!r}, expected the name of a column or array"
            )
        if self.label in self.names:
            raise DataError(f"the schema names {self.label} as a feature and as the label: leave one out")
        for name, offset, scale in zip(self.names, self.offsets, self.scales, strict=True):
            if not (abs(offset) <= LARGEST and SMALLEST <= abs(scale) <= LARGEST):
                raise DataError(
                    f"the schema has offset {offset} and scale {scale} for {name}, expected finite numbers, scale not "
                    "0, also in float32"
                )

        if not all(value is None or abs(value) <= LARGEST for value in self.missing):
            raise DataError("the schema has a value `missing` that is not a finite number, also in float32")

    @property
    def gaps(self) -> Gaps:
        """Features that a row may lack."""
        return frozenset(
            name for name, value in zip(self.names, self.missing, strict=False) if value is not None
        )

    @property
    def text(self) -> str:
        """Canonical text, one line per item: equal for equal models, whatever the format of each site's file."""
        label = [f"label {json.dumps(self.label)}"] if not self.format.numbered else []
        classes = [f"class {k} {json.dumps(text)}" for k, text in enumerate(self.classes)]
        return "\n".join([*self.format.described(), *self._lines(), *label, *classes])

    def _lines(self) -> list[str]:
        """Features with their scaling; numbered ones that are scaled alike share a line."""
        scaling = [f"offset {o!r} scale {s!r}" for o, s in zip(self.offsets, self.scales, strict=True)]
        if not self.format.numbered:
            missing = [f" missing {value!r}" * (value is not None) for value in self.missing] or [""] * len(
                scaling
            )
            triples = zip(self.names, scaling, missing, strict=True)
            return [f"feature {json.dumps(name)} {how}{value}" for name, how, value in triples]
        runs = [[*run] for _, run in groupby(range(len(scaling)), key=lambda k: scaling[k])]
        return [f"features {run[0] + 1}-{run[-1] + 1} {scaling[run[0]]}" for run in runs]

    def scale(self, features: Features) -> None:
        """Fill in what is missing, and scale, float32 [rows, features] in place."""
        for place, value in enumerate(self.missing):
            if value is not None:
                column = features[:, place]
                column[np.isnan(column)] = value
        features -= np.array(self.offsets, features.dtype)
        features /= np.array(self.scales, features.dtype)


def schema_of(
    format: Format,
    names: tuple[str, ...],
    label: str,
    classes: tuple[str, ...],
    *,
    offsets: tuple[float, ...] = (),
    scales: tuple[float, ...] = (),
    missing: tuple[float | None, ...] = (),
) -> Schema:
    """A schema whose scaling may be left out, or be one number for all features.

    Args:
        format: kind of file, and its options.
        names: of the features.
        label: name of the label.
        classes: labels in any spelling.
        offsets: one, one per feature, or none.
        scales: likewise.
        missing: one per feature, or none.

    Raises:
        DataError: as ``Schema``, or another number of offsets or scales.
    """

    def each(given: tuple[float, ...], default: float, what: str) -> tuple[float, ...]:
        values = given or (default,)
        if len(values) not in (1, len(names)):
            raise DataError(f"the schema has {len(values)} {what} for {len(names)} features")
        return tuple(map(float, values if len(values) == len(names) else values * len(names)))

    texts = tuple(map(label_text, classes))
    if not any(value is not None for value in missing):
        missing = ()
    scaling = each(offsets, 0.0, "offsets"), each(scales, 1.0, "scales")
    return Schema(format, names, label, texts, *scaling, missing)


def _require_distinct(what: str, texts: Sequence[str], most: int) -> None:
    """Refuse too many names, an empty or unprintable one, or one that is there twice."""
    if len(texts) > most:
        raise DataError(f"the schema has {len(texts)} times a {what}, at most {most} are taken")
    for text in texts:
        if not text or not text.isprintable():
            raise DataError(f"the schema names the {what} {text[:40]!r}, expected printable characters")
    if (twice := first_twice(texts)) is not None:
        raise DataError(f"the schema names the {what} {twice[:40]} twice: leave one out")
