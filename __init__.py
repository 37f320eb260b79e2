"""gradwire: gradients over the wire in a fixed number of bits.

These are the names that users import; what stands elsewhere in the package may move between releases. A name loads on
its first use, so ``import gradwire`` is cheap and needs neither gRPC nor torch.

>>> import gradwire
>>> gradwire.parse("cross_polytope(repeats=100)", dim=795_010).nbytes
267
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradwire.common.codecs import Accumulator as Accumulator
    from gradwire.common.codecs import Codec as Codec
    from gradwire.common.codecs import Example as Example
    from gradwire.common.codecs import codecs as codecs
    from gradwire.common.codecs import parse as parse
    from gradwire.common.codecs import register as register_codec  # noqa: F401 - public
    from gradwire.common.codecs.forms.known_points import register_points as register_points
    from gradwire.common.errors import GradwireError as GradwireError
    from gradwire.common.training.layout import Layout as Layout
    from gradwire.common.training.layout import LayoutArray as LayoutArray
    from gradwire.common.training.layout import Role as Role
    from gradwire.common.training.optimizers import Optimizer as Optimizer
    from gradwire.common.training.optimizers import parse_optimizer as parse_optimizer
    from gradwire.common.training.optimizers.base import register as register_optimizer  # noqa: F401 - public
    from gradwire.worker.join import Finished as Finished
    from gradwire.worker.join import JoinedRun as JoinedRun
    from gradwire.worker.join import join as join
    from gradwire.worker.site import Site as Site
    from gradwire.worker.tasks import Gradient as Gradient
    from gradwire.worker.tasks import Task as Task
    from gradwire.worker.tasks import TaskKind as TaskKind
    from gradwire.worker.tasks import register_task as register_task
    from gradwire.worker.tasks.torch import TorchProblem as TorchProblem

    __version__: str

# Public name -> where it is defined.
_PUBLIC = {
    "Accumulator": "gradwire.common.codecs:Accumulator",
    "Codec": "gradwire.common.codecs:Codec",
    "Example": "gradwire.common.codecs:Example",
    "Finished": "gradwire.worker.join:Finished",
    "GradwireError": "gradwire.common.errors:GradwireError",
    "Gradient": "gradwire.worker.tasks:Gradient",
    "JoinedRun": "gradwire.worker.join:JoinedRun",
    "Layout": "gradwire.common.training.layout:Layout",
    "LayoutArray": "gradwire.common.training.layout:LayoutArray",
    "Optimizer": "gradwire.common.training.optimizers:Optimizer",
    "Role": "gradwire.common.training.layout:Role",
    "Site": "gradwire.worker.site:Site",
    "Task": "gradwire.worker.tasks:Task",
    "TaskKind": "gradwire.worker.tasks:TaskKind",
    "TorchProblem": "gradwire.worker.tasks.torch:TorchProblem",
    "codecs": "gradwire.common.codecs:codecs",
    "join": "gradwire.worker.join:join",
    "parse": "gradwire.common.codecs:parse",
    "parse_optimizer": "gradwire.common.training.optimizers:parse_optimizer",
    "register_codec": "gradwire.common.codecs:register",
    "register_optimizer": "gradwire.common.training.optimizers.base:register",
    "register_points": "gradwire.common.codecs.forms.known_points:register_points",
    "register_task": "gradwire.worker.tasks:register_task",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - all of them are strings


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = version("gradwire")
    elif name in _PUBLIC:
        module, _, attribute = _PUBLIC[name].partition(":")
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module 'gradwire' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
