"""Options of commands besides the run's settings; each is a flag and a key of the configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gradwire.common.training.settings import check_limits, described
from gradwire.deploy.curves import CurveOptions
from gradwire.deploy.external import ExternalOptions
from gradwire.server.progress import ProgressFormat

PORT = 50051


@dataclass(frozen=True, kw_only=True)
class RunOptions(CurveOptions, ExternalOptions):
    """Options of ``gradwire run``."""

    processes: int | None = field(
        default=None,
        metadata=described("Worker processes that host the logical workers", unset="one per core"),
    )
    json: str | None = field(
        default=None, metadata=described("Write the summary as JSON; -: to standard output", metavar="FILE")
    )
    report: str | None = field(
        default=None,
        metadata=described(
            "Write a page about the run when it is over, as `gradwire report` does", metavar="FILE"
        ),
    )
    state_dir: Path | None = field(
        default=None, metadata=described("Folder of the run; a run in it is resumed", unset="a temporary one")
    )
    init: Path | None = field(
        default=None,
        metadata=described(
            "Begin from these weights: .safetensors, .npz or .pt, or the folder of another run",
            metavar="PATH",
        ),
    )
    save: Path | None = field(
        default=None,
        metadata=described(
            "Write the model when the run has finished: .safetensors, .npz or .pt", metavar="FILE"
        ),
    )
    keep_state: bool = field(default=False, metadata=described("Keep the run's temporary folder"))
    allow_task: tuple[str, ...] = field(
        default=(), metadata=described("package.module:factory that the task may import; may be repeated")
    )
    data: str | None = field(
        default=None,
        metadata=described(
            "Own data of each process; {process} in it is the number of the process, from 0", metavar="PATH"
        ),
    )
    schema: str | None = field(
        default=None,
        metadata=described(
            "TOML file of `gradwire data schema`: columns, label, classes, scaling; may hold {process} too",
            metavar="FILE",
        ),
    )
    option: tuple[str, ...] = field(
        default=(),
        metadata=described(
            "Option of the sites, as test=PATH or holdout=0.2; may be repeated, and hold {process}",
            metavar="KEY=VALUE",
        ),
    )
    devices: str | None = field(
        default=None,
        metadata=described(
            "Devices for the processes in turn, e.g. cuda:0,cuda:1", unset="auto", metavar="NAMES"
        ),
    )
    verbose: bool = field(default=False, metadata=described("Show what the processes write", short="-v"))


@dataclass(frozen=True, kw_only=True)
class ServerOptions(CurveOptions, ExternalOptions):
    """Options of ``gradwire server``."""

    listen: str = field(
        default=f"127.0.0.1:{PORT}", metadata=described("HOST:PORT to listen on; port 0 takes a free one")
    )
    state_dir: Path = field(
        default=Path("gradwire-run"), metadata=described("Folder of the run's log; a run in it is resumed")
    )
    init: Path | None = field(
        default=None,
        metadata=described(
            "Begin from these weights: .safetensors, .npz or .pt, or the folder of another run",
            metavar="PATH",
        ),
    )
    dim: int | None = field(
        default=None,
        metadata=described("Coordinates of the model, where the task does not determine them", least=1),
    )
    await_workers: bool = field(
        default=False,
        metadata=described(
            "If the run has already finished, wait for all workers to reconnect before exiting"
        ),
    )
    summary: str | None = field(
        default=None, metadata=described("Write the summary to this file, as JSON", metavar="FILE")
    )
    progress: ProgressFormat = field(
        default=ProgressFormat.LINES, metadata=described("Progress on standard output")
    )
    certs: Path | None = field(
        default=None, metadata=described("Folder of `gradwire certs`: TLS, and workers need certificates")
    )
    tls_cert: Path | None = field(
        default=None,
        metadata=described("PEM file of the server's certificate, instead of --certs", metavar="FILE"),
    )
    tls_key: Path | None = field(
        default=None, metadata=described("PEM file of its key, unless in the same file", metavar="FILE")
    )
    tls_client_ca: Path | None = field(
        default=None,
        metadata=described("PEM file of the authority that signed the workers' certificates", metavar="FILE"),
    )
    insecure: bool = field(default=False, metadata=described("Allow plaintext beyond this machine"))

    def __post_init__(self) -> None:
        check_limits(self)


# A file may hold options of several commands: each command takes its own.
CONFIGURABLE = (RunOptions, ServerOptions)
