"""A user's own torch module, loss and data as a task. Imported only when such a task is built: it needs torch."""

from gradwire.worker.tasks.torch.problem import TorchProblem

__all__ = ["TorchProblem"]
