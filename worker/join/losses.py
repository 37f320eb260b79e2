"""The losses of the steps between two exchanges."""

from __future__ import annotations

from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.worker.join.settings import whole


class Losses:
    """Collects losses and examples; a tensor is read only when its mean is taken, which may wait for its device.

    Attributes:
        last: the mean that was taken last.
    """

    def __init__(self) -> None:
        self.last: float | None = None
        self._losses: list[tuple[Any, int]] = []
        self._examples = 0

    def add(self, loss: Any, examples: int) -> None:
        """Add a step.

        Raises:
            ConfigError: ``examples`` is no positive whole number.
        """
        if type(examples) is not int or examples < 1:
            examples = whole(examples, 1, "examples", "how many samples this step trained on")
        self._examples += examples
        if loss is not None:
            self._losses.append((loss.detach() if hasattr(loss, "detach") else loss, examples))

    def take(self) -> tuple[float | None, int]:
        """The mean of the losses, weighted by their examples, and the sum of the examples; then begin anew.

        Raises:
            ConfigError: a loss is no number.
        """
        steps, examples = self._losses, self._examples
        self._losses, self._examples = [], 0
        if not steps:
            self.last = None
            return None, examples
        try:
            total = sum(_number(loss) * count for loss, count in steps)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"a loss cannot be read as a number: {error}; pass the loss of a batch, a tensor of one number"
            ) from error
        self.last = total / sum(count for _, count in steps)
        return self.last, examples


def _number(loss: Any) -> float:
    """A loss as a number; an array of one has ``item``, whatever its shape."""
    return float(loss.item() if hasattr(loss, "item") else loss)
