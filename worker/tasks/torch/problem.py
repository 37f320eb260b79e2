"""What a user's factory returns, and how a batch becomes a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import torch

from gradwire.common.errors import TaskError


@dataclass(frozen=True, eq=False)
class TorchProblem:
    """A module, its loss and a site's data: from a factory that may take any of ``seed``, ``workers`` and ``site``.

    A batch (inputs, targets) needs nothing more: its loss is ``loss(module(inputs), targets)``. So does a dict without
    ``loss``: ``module(**batch).loss``, as Hugging Face's models have it. For batches of any other form give ``forward``
    or ``compute_loss``.

    Attributes:
        module: its parameters that require gradients are trained; see ``ModuleArrays`` for its other arrays.
        loss: ``loss(outputs, targets)`` → scalar tensor, the mean over the batch.
        train, test: tensors of equal length in a tuple or dict, nested as you like, moved to the device once; or a
            ``torch.utils.data.Dataset`` with a length, read as its items are drawn; or a DataLoader or IterableDataset,
            whose batches are taken in order, epoch after epoch.
        collate_fn: of items of a Dataset, as a DataLoader takes it.
        forward: ``forward(module, batch)`` → (outputs, targets).
        compute_loss: ``compute_loss(module, batch)`` → loss, or (loss, outputs, targets); in place of ``loss``.
        metrics: ``metrics(outputs, targets)`` → numbers by name, means over the batch; reported as means over the
            test samples. Without it, ``accuracy`` where outputs are floating [n, classes] and targets integers [n].
        eval_batch: test samples in one forward pass; 0 is as many as in training, or 256.

    Raises:
        TaskError: something is missing, or two of these exclude each other.
    """

    module: torch.nn.Module
    loss: Callable[[Any, Any], torch.Tensor] | None = None
    train: Any = None
    test: Any = None
    _: KW_ONLY
    collate_fn: Callable[[list[Any]], Any] | None = None
    forward: Callable[[torch.nn.Module, Any], tuple[Any, Any]] | None = None
    compute_loss: Callable[[torch.nn.Module, Any], Any] | None = None
    metrics: Callable[[Any, Any], Mapping[str, Any]] | None = None
    eval_batch: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.module, torch.nn.Module):
            raise TaskError(
                f"TorchProblem: module is a {type(self.module).__name__}, expected a torch.nn.Module"
            )
        if self.train is None:
            raise TaskError("TorchProblem: train is missing, expected tensors, a Dataset or a DataLoader")
        if self.compute_loss is not None and (self.loss is not None or self.forward is not None):
            raise TaskError(
                "TorchProblem: compute_loss takes the place of loss and forward: give one or the others"
            )
        if self.forward is not None and self.loss is None:
            raise TaskError(
                "TorchProblem: forward needs a loss(outputs, targets): give it, or compute_loss instead"
            )
        if self.eval_batch < 0:
            raise TaskError(
                f"TorchProblem: eval_batch is {self.eval_batch}, expected samples, 0 for the default"
            )

    def step(self, batch: Any) -> Step:
        """The loss of a batch on the module's device, with what metrics are computed from.

        Raises:
            TaskError: a batch of a form that needs ``forward`` or ``compute_loss``, or a loss that is no scalar tensor.
        """
        if self.compute_loss is not None:
            found = self.compute_loss(self.module, batch)
            parts = found if isinstance(found, tuple) else (found, None, None)
            if len(parts) != 3:
                raise TaskError(
                    f"compute_loss returned {len(parts)} values, expected loss or (loss, outputs, targets)"
                )
            return _checked(*parts)
        if self.loss is None:
            return _checked(*self._own_loss(batch))
        outputs, targets = self._forward(batch)
        return _checked(self.loss(outputs, targets), outputs, targets)

    def _forward(self, batch: Any) -> tuple[Any, Any]:
        if self.forward is not None:
            found = self.forward(self.module, batch)
            if not isinstance(found, tuple | list) or len(found) != 2:
                raise TaskError(f"forward returned {_form(found)}, expected (outputs, targets)")
            return found[0], found[1]
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TaskError(
                f"a batch is {_form(batch)}, expected (inputs, targets): give the TorchProblem "
                "forward(module, batch) -> (outputs, targets), or compute_loss(module, batch)"
            )
        return self.module(batch[0]), batch[1]

    def _own_loss(self, batch: Any) -> tuple[Any, Any, Any]:
        """The loss that the module computes itself, from a dict of its arguments."""
        if not isinstance(batch, Mapping):
            raise TaskError(
                f"the TorchProblem has no loss and a batch is {_form(batch)}: give loss or compute_loss"
            )
        outputs = self.module(**batch)
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
        if loss is None:
            raise TaskError(
                "module(**batch) returned no loss: give the TorchProblem compute_loss(module, batch)"
            )
        return loss, getattr(outputs, "logits", None), batch.get("labels")


class Step(NamedTuple):
    """The loss of one batch, a scalar tensor; outputs and targets where there are any."""

    loss: torch.Tensor
    outputs: Any
    targets: Any


def _checked(loss: Any, outputs: Any, targets: Any) -> Step:
    if not isinstance(loss, torch.Tensor):
        raise TaskError(
            f"the loss is a {type(loss).__name__}, expected a scalar tensor: the mean over the batch"
        )
    if loss.ndim:
        raise TaskError(f"the loss has shape {list(loss.shape)}, expected a scalar: the mean over the batch")
    return Step(loss, outputs, targets)


def _form(value: Any) -> str:
    """A batch in a few words."""
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
