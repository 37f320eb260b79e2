"""The public names: what users import from ``gradwire``, and that this list changes on purpose alone."""

import subprocess
import sys

import pytest

import gradwire

# A name that goes, or changes its meaning, is a breaking change: say so in CHANGELOG.md.
PUBLIC = [
    "Accumulator",
    "Codec",
    "Example",
    "Finished",
    "Gradient",
    "GradwireError",
    "JoinedRun",
    "Layout",
    "LayoutArray",
    "Optimizer",
    "Role",
    "Site",
    "Task",
    "TaskKind",
    "TorchProblem",
    "__version__",
    "codecs",
    "join",
    "parse",
    "parse_optimizer",
    "register_codec",
    "register_optimizer",
    "register_points",
    "register_task",
]


def test_list_of_public_names() -> None:
    assert sorted(gradwire.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_loads(name: str) -> None:
    if name == "TorchProblem":
        pytest.importorskip("torch")
    value = getattr(gradwire, name)
    assert value is getattr(gradwire, name)
    assert isinstance(value, str) or value.__doc__


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Codek'"):
        gradwire.Codek  # noqa: B018


def test_import_is_cheap() -> None:
    program = "import gradwire, sys; print(sorted({'numpy', 'torch', 'grpc', 'scipy'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
