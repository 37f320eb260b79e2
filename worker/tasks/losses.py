"""Losses with their gradients at the model's output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def softmax_cross_entropy(logits: Floats, y: NDArray[np.int64]) -> float:
    """Mean of -log softmax(logits)[y]; turns ``logits`` [n, classes] in place into the loss's gradient there.

    That gradient is (softmax(logits) - onehot(y)) / n.
    """
    rows = np.arange(len(y))
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[rows, y]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - chosen, dtype=np.float64))
    logits /= total
    logits[rows, y] -= 1
    logits /= len(y)
    return loss


def logistic_loss(margins: Floats) -> tuple[float, Floats]:
    """Mean of log(1 + exp(-m)) over margins m = b aᵀθ [n], and the derivative of each term, -1 / (1 + exp(m)) [n].

    Written with tanh, which cannot overflow.
    """
    loss = float(np.mean(np.logaddexp(0, -margins), dtype=np.float64))
    return loss, (np.tanh(margins / 2) - 1) / 2
