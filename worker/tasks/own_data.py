"""A site's own data for built-in tasks: ``softmax(file)`` with ``--data``, ``--schema`` and ``--option``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradwire.common.errors import DataError, SpecError, TaskError
from gradwire.common.spec import did_you_mean
from gradwire.worker.data.dataset import Arrays, Dataset, Features, Labels
from gradwire.worker.data.own import Schema, format_of, read_schema, read_table, schema_of
from gradwire.worker.data.own.base import numbers
from gradwire.worker.data.own.images import ImagesFormat
from gradwire.worker.site import Site
from gradwire.worker.tasks.random_streams import random_stream

FILE = "file"  # the name of a data set that is each site's own
OPTIONS = ("test", "holdout")


def load_own(site: Site, task: str, *, features: int, classes: int, label: str) -> tuple[Dataset, Schema]:
    """The data of a site, split into training and test, and their schema.

    Args:
        site: names the files.
        task: in errors.
        features, classes, label: of the task's spec; 0, 0 and empty where a schema is expected.

    Raises:
        DataError: a file is missing, or holds something that cannot be used.
        TaskError: no data, no schema, one that contradicts the spec, or unknown options.
    """
    for option in site.options:
        if option not in OPTIONS:
            raise TaskError(f"{task}(file) has no option {option!r}{did_you_mean(option, OPTIONS)}")
    require_cpu(site, task)
    if site.data is None:
        raise TaskError(f"{task}(file) trains on the site's own data: pass --data PATH to the worker")
    schema = _schema(site, site.data, task, features, classes, label)
    for what, found, expected in (
        ("features", len(schema.names), features), ("classes", len(schema.classes), classes),
    ):  # fmt: skip
        if expected not in (0, found):
            raise TaskError(
                f"{site.schema or site.data} has {found} {what}, the task {expected}: correct one of them"
            )
    x, y = read_table(site.data, schema)
    return Dataset(str(site.data), *_split(site, schema, x, y), len(schema.classes)), schema


def refuse_own_data(site: Site, task: str) -> None:
    """Refuse what a task would ignore.

    Raises:
        TaskError: data, a schema, options or a device for a task that takes none.
    """
    given = {"--data": site.data, "--schema": site.schema, "--option": site.options}
    for flag, value in given.items():
        if value:
            raise TaskError(
                f"{task} takes no data of this site, and the worker has {flag}: leave it out, or train on file"
            )
    require_cpu(site, task)


def require_cpu(site: Site, task: str) -> None:
    """Refuse a device that a NumPy task cannot use.

    Raises:
        TaskError: another one than the CPU.
    """
    if site.device not in ("auto", "cpu"):
        raise TaskError(
            f"{task} is computed by NumPy, and the worker has --device {site.device}: leave it out"
        )


def require_own_spec(task: str, dataset: str, features: int, classes: int, label: str) -> None:
    """Refuse a spec whose description of a file is wrong, or stands beside a data set of the catalogue.

    Raises:
        SpecError: it is.
    """
    if dataset != FILE and (features or classes or label):
        raise SpecError(
            f"{task}: features, classes and label describe a site's own data: write {task}({FILE}, …)"
        )
    for name, value, least in (("features", features, 1), ("classes", classes, 2)):
        if value and value < least:
            raise SpecError(f"{task}: {name} is {value}, expected at least {least}")


def _schema(site: Site, data: Path, task: str, features: int, classes: int, label: str) -> Schema:
    if site.schema is not None:
        schema = read_schema(site.schema)
        if label and label != schema.label:
            raise TaskError(
                f"{site.schema} has the label {schema.label!r}, the task {label!r}: correct one of them"
            )
        return schema
    if not features or not classes:
        raise TaskError(
            f"{task}(file) needs a schema: pass --schema FILE (`gradwire data schema {data}` writes a first one), or "
            f"write {task}(file, features=…, classes=…)"
        )
    format = format_of(data)
    if isinstance(format, ImagesFormat):
        raise TaskError(
            f"{data} is a folder, and images need a schema: `gradwire data schema {data}` writes one"
        )
    columns = format.all_columns(data)
    label = label or (columns[-1] if columns else "y")
    names = tuple(name for name in columns if name != label) if columns else numbers(features)
    if len(names) != features:
        raise DataError(
            f"{data} has {len(names)} columns besides {label}, expected {features}: is it the right file?"
        )
    return schema_of(format, names, label, tuple(map(str, range(classes))))


def _split(site: Site, schema: Schema, x: Features, y: Labels) -> Arrays:
    """Training and test split: of two files, of one, or no test split."""
    if len(site.options) > 1:
        raise TaskError("the options test and holdout are both given: pass one of them")
    if "test" in site.options:
        return x, y, *read_table(Path(site.options["test"]), schema)
    if "holdout" not in site.options:
        return x, y, x[:0], y[:0]
    count = _held_out(site.options["holdout"], len(x))
    held = np.zeros(len(x), bool)
    held[random_stream(site.seed, "holdout").permutation(len(x))[:count]] = True
    return x[~held], y[~held], x[held], y[held]


def _held_out(text: str, samples: int) -> int:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1 or not 1 <= round(share * samples) < samples:
        raise TaskError(
            f"holdout is {text} of {samples} samples, expected a fraction such as 0.2 that leaves samples on both sides"
        )
    return round(share * samples)
