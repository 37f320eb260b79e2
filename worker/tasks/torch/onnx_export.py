"""A user's module as an ONNX model, by torch's own exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch.utils import _pytree as pytree

from gradwire.common.errors import ConfigError, TaskError
from gradwire.worker.tasks.torch.problem import TorchProblem

PACKAGES = ("onnx", "onnxscript")
SAMPLES = 2  # in the inputs that the module is traced with: of one, the exporter takes the length for fixed
LABELS = ("labels", "label_ids")  # of a batch that is a dict


def require_packages() -> None:
    """Check that the packages which torch's exporter needs are there.

    Raises:
        ConfigError: one is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f".onnx needs {' and '.join(missing)}: install them with pip install 'gradwire[onnx]'"
        )


def to_onnx(problem: TorchProblem, batch: Any) -> bytes:
    """The module as it is, traced with some samples of a batch; the number of samples stays free.

    Args:
        problem: its module is in evaluation mode.
        batch: of the problem's data.

    Raises:
        ConfigError: a package is missing.
        TaskError: what the module takes is not known, or the exporter refuses it.
    """
    require_packages()
    args, kwargs = _inputs(problem, batch)
    free = pytree.tree_map(lambda _: {0: torch.export.Dim.AUTO}, (args, kwargs))
    try:
        with _silenced():
            program = torch.onnx.export(
                problem.module,
                args,
                kwargs=kwargs,
                dynamo=True,
                verbose=False,
                dynamic_shapes=(*free[0],) or free[1],
            )
            assert program is not None
            data: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # of many kinds: the exporter traces the user's own code
        first = next(iter(str(error).splitlines()), "")
        raise TaskError(
            f"torch cannot export the module to ONNX: {type(error).__name__}: {first[:200]}"
        ) from error
    return data


def _inputs(problem: TorchProblem, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the module is called with."""
    if problem.forward is not None or problem.compute_loss is not None:
        raise TaskError(
            "the inputs of the module are not known, since forward or compute_loss calls it: export it by "
            "torch.onnx.export, with the arrays of a .pt file"
        )
    if problem.loss is None and isinstance(batch, Mapping):
        return (), {name: _few(value) for name, value in batch.items() if name not in LABELS}
    return (_few(batch[0]),), {}


def _few(value: Any) -> Any:
    return pytree.tree_map(lambda part: part[:SAMPLES] if isinstance(part, torch.Tensor) else part, value)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Without the exporter's remarks on its own progress and on packages that it could use."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
