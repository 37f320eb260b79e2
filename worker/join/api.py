"""``gradwire.join``: what a user calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.transport.limits import CONSTANT_BYTES
from gradwire.worker.join.link import Link
from gradwire.worker.join.memory import SharedVectors
from gradwire.worker.join.models import JoinedModel, joined_model
from gradwire.worker.join.progress import ProgressLine
from gradwire.worker.join.run import JoinedRun
from gradwire.worker.join.settings import Settings, whole

BUFFERS = ("averaged", "local")
_joined: dict[
    int, str
] = {}  # the server that this process has joined, by its id: a forked process has joined none
_lock = threading.Lock()


def join(
    server: str,
    model: Any,
    *,
    every: int = 1,
    gradients: bool = False,
    evaluate: Callable[[], Any] | None = None,
    size: int | None = None,
    name: str | None = None,
    worker: int | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    ca: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    retry_for: float = 60.0,
    max_epsilon: float | None = None,
    delta: float | None = None,
    report_metrics: bool = False,
    buffers: str = "averaged",
    allow_codec: Collection[str] = (),
    allow_optimizer: Collection[str] = (),
    points: str | os.PathLike[str] | Collection[str | os.PathLike[str]] = (),
    progress: bool | None = None,
) -> JoinedRun:
    """Join a run with a training loop of your own; a server with ``--task own`` waits for it.

    Returns once this site is due in a round and ``model`` is set to the run's. Use it in a ``with`` block::

        with gradwire.join("server:50051", model, cert="alice.pem", every=50) as run:
            for batch in run.batches(loader):
                ...
                run.step(loss=loss, examples=len(batch))

    After ``every`` steps the update, what the model was set to minus what it is, is encoded and sent, and the model is
    set in place to the run's next one. The optimizer's state stays yours. The connection lives in a process of its own,
    which reconnects, answers the server while you compute, and ends with this one.

    Args:
        server: its address, ``HOST:PORT``.
        model: a ``torch.nn.Module``, or a dict of arrays by name (NumPy, JAX, …), which may hold dicts.
        every: steps of the loop from one exchange to the next.
        gradients: exchange the ``.grad`` of the parameters, unscaled, instead of an update; a missing one counts as
            zero. The server's optimizer steps the model, call none yourself. ``every`` is 1 then.
        evaluate: called without arguments while the model is the run's, every so many rounds and at the end; returns
            measures by name, or those and the number of samples.
        size: samples of the training set, the weight of this site with ``--weighting size``.
        name: of this site in the run [that of the certificate; the one in ``state_dir``; host and process id].
        worker: ask for this worker's id instead of a free one.
        state_dir: folder of what must survive a restart of the program: name, error feedback, last payload, ledger.
        cert: PEM file of this site's certificate, key and authority.
        key: PEM file of the key, unless it is in ``cert``.
        ca: PEM file of the server's authority, unless it is in ``cert``.
        insecure: allow plaintext beyond this machine.
        retry_for: seconds without a server after which ``step`` gives up.
        max_epsilon: privacy budget of this site's data, over all runs; needs ``state_dir``.
        delta: at which the budget is accounted for; None: epsilons add up.
        report_metrics: send losses and metrics of private runs too.
        buffers: ``averaged``: running statistics of normalisation layers are averaged; ``local``: they stay here.
        allow_codec: ``package.module:Class`` of codecs of your own that the run may name.
        allow_optimizer: likewise, of optimizers.
        points: .npy files of point sets of your own that the run may name by digest.
        progress: print a line of progress on standard error; None: where it is a terminal; False: print nothing.

    Raises:
        ConfigError: arguments, certificates or the state directory cannot be used; this process has joined a run.
        TaskError, LayoutError: the model cannot take part, or is not the run's.
        PrivacyError: the run asks for more than this site allows.
        WireError: the server refuses this site, or cannot be reached.
    """
    every = _checked_every(every, gradients=gradients)
    if buffers not in BUFFERS:
        raise ConfigError(f"buffers is {buffers!r}, expected one of {', '.join(BUFFERS)}")
    if size is not None:
        size = whole(size, 1, "size", "the number of samples of the training set")
    settings = Settings(
        server=server, name=name, worker=worker, cert=_text(cert), key=_text(key), ca=_text(ca), insecure=insecure,
        state_dir=_text(state_dir), retry_for=retry_for, max_epsilon=max_epsilon, delta=delta,
        report_metrics=report_metrics, allow_codec=allow_codec, allow_optimizer=allow_optimizer,
        points=_texts(points), evaluates=evaluate is not None,
    )  # fmt: skip
    adapter = joined_model(model, gradients=gradients, local_buffers=buffers == "local")
    line = ProgressLine(progress)
    on_close = _claim(server)
    try:
        link, vectors = _linked(settings, adapter)
    except BaseException:
        on_close()
        raise
    return JoinedRun(
        adapter, vectors, link, line, on_close,
        every=every, gradients=gradients, evaluate=evaluate, size=size,
    )  # fmt: skip


def _linked(settings: Settings, adapter: JoinedModel) -> tuple[Link, SharedVectors]:
    """The wire process of a model, and what is shared with it.

    Raises:
        NotFiniteError: the model holds numbers that are not finite.
    """
    vectors = SharedVectors.create(adapter.layout.dim)
    try:
        adapter.read(None, vectors.update)
        adapter.require_finite(vectors.update, "the array", "join with a model of finite numbers")
        values = adapter.constants()
        constants = values if sum(map(len, values)) <= CONSTANT_BYTES else []
    except BaseException:
        vectors.close()
        raise
    return Link(settings, adapter.layout, constants, vectors), vectors


def _checked_every(every: int, *, gradients: bool) -> int:
    every = whole(every, 1, "every", "the steps from one exchange to the next")
    if gradients and every != 1:
        raise ConfigError(
            f"every is {every} with gradients=True, expected 1: call step once per exchange, after as many backward "
            "passes as you like"
        )
    return every


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else str(Path(path))


def _texts(paths: str | os.PathLike[str] | Collection[str | os.PathLike[str]]) -> tuple[str, ...]:
    several = (paths,) if isinstance(paths, str | os.PathLike) else paths
    return tuple(str(Path(path).absolute()) for path in several)


def _claim(server: str) -> Callable[[], None]:
    """Note that this process has joined a run; the function that it calls when it has left.

    Raises:
        ConfigError: it has joined one already.
    """
    process = os.getpid()
    with _lock:
        if process in _joined:
            raise ConfigError(
                f"this process has joined the run at {_joined[process]}: leave it first, or join from another process"
            )
        _joined[process] = server

    def release() -> None:
        _joined.pop(process, None)

    return release
