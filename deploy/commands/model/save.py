"""Write the model of a run to a file.

Examples:
    gradwire model save --state-dir runs/one --out model.safetensors
    gradwire model save --state-dir runs/one --round 50 --out model.pt
    gradwire model save --state-dir runs/one --round best --out model.npz
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradwire.deploy import models
from gradwire.deploy.external import AllowCodec, AllowOptimizer, PointFiles, import_allowed
from gradwire.deploy.onnx import ENDING, save_onnx
from gradwire.deploy.site import site_from

StateDir = Annotated[Path, typer.Option(help="Folder of the run; nothing in it is changed.")]
Round = Annotated[
    str, typer.Option("--round", metavar="N", help="After so many rounds; last, or best with --keep-best.")
]
AllowTask = Annotated[
    list[str] | None, typer.Option(help="package.module:factory that the task may import; may be repeated.")
]
Data = Annotated[Path | None, typer.Option(help="File or folder of own data, for the task.")]
SchemaFile = Annotated[Path | None, typer.Option(help="TOML file of `gradwire data schema`.")]
SiteOption = Annotated[
    list[str] | None,
    typer.Option(help="Option of the data, as test=PATH; may be repeated.", metavar="KEY=VALUE"),
]
Iterate = Annotated[
    str,
    typer.Option(help="Of `averaged` optimizers: reported, the mean that is evaluated, or last."),
]


def save(
    state_dir: StateDir,
    out: Annotated[Path, typer.Option(help="File to write: .safetensors, .npz, .pt or .onnx.")],
    round_: Round = models.LAST,
    iterate: Iterate = models.REPORTED,
    base: Annotated[
        Path | None,
        typer.Option(
            help="File with the constant arrays (frozen parameters), where they were too large for the log."
        ),
    ] = None,
    allow_task: AllowTask = None,
    allow_codec: AllowCodec = None,
    allow_optimizer: AllowOptimizer = None,
    points: PointFiles = None,
    data: Data = None,
    schema: SchemaFile = None,
    option: SiteOption = None,
) -> None:
    """Write the model of a run to a file: the parameters that were evaluated, under the names of the user's module.

    Needs neither the task nor its data, and no server. .pt is a state dict for `load_state_dict`, and needs torch.
    .onnx is the module of a torch task, built here: it needs --allow-task, the task's data, onnx and onnxscript.
    """
    import_allowed(allow_codec, allow_optimizer, points)
    model = models.read_run(state_dir, round_, iterate)
    if out.suffix == ENDING:
        lines = save_onnx(model, out, site_from(data, schema, option, None), allow_task or [])
    else:
        lines = models.save(model, out, base)
    for line in lines:
        print(line)
