"""Who may import whom: the rooms, what each may touch, and what none of them does.

An edge that this table lacks is a decision: make it here, where a reviewer sees it, or move the code.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The ground that every room stands on. Its modules import NumPy and each other alone.
GROUND = tuple(
    f"gradwire.common.{module}" for module in ("errors", "extensions", "randomness", "registry", "spec")
)
ARRAYS = ("numpy", "torch", "array_api_compat")
WIRE = ("grpc", "google.protobuf")
TERMINAL = ("typer", "click", "rich")

SOCKETS = {"asyncio", "http", "select", "selectors", "socket", "socketserver", "ssl", "urllib"}
MACHINE = {"fcntl", "glob", "io", "mmap", "os", "pathlib", "shutil", "sqlite3", "subprocess", "tempfile"}
CONCURRENCY = {"concurrent", "multiprocessing", "signal", "threading"}
# `random` and `secrets` too: a codec's coins are handed to it.
OUTSIDE = SOCKETS | MACHINE | CONCURRENCY | {"datetime", "random", "secrets", "time"}


@dataclass(frozen=True)
class Room:
    """What the files of a folder may import besides that folder and the standard library."""

    gradwire: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    never: frozenset[str] = frozenset()  # of the standard library, or of what `gradwire` admits


PURE = frozenset(OUTSIDE)
COMMON = ("gradwire.common",)
CODING = ("gradwire.common.arrays", "gradwire.common.lossless")
EDGE = (*COMMON, "gradwire.proto")

# The longest matching path wins, so a single file can have a row.
ROOMS = {
    "proto": Room(others=WIRE),
    "common/errors.py": Room(never=PURE),
    "common/spec.py": Room(GROUND, never=PURE),
    "common/registry.py": Room(GROUND, never=PURE),
    "common/randomness.py": Room(GROUND, ("numpy",), PURE - {"secrets"}),
    "common/arrays": Room(GROUND, ARRAYS, PURE),
    "common/lossless": Room(("gradwire.common.arrays", *GROUND), ARRAYS, PURE),
    # A private codec is a point set and a mechanism, which is as pure. Accounts and ledgers are none of its business.
    "common/codecs": Room((*CODING, "gradwire.common.privacy.mechanisms", *GROUND), (*ARRAYS, "scipy"), PURE),
    "common/privacy/mechanisms": Room((*CODING, *GROUND), ARRAYS, PURE),
    "common/privacy": Room((*CODING, *GROUND), ("numpy", "dp_accounting"), PURE),
    "common/training": Room(
        ("gradwire.common.arrays", "gradwire.common.codecs", "gradwire.common.privacy", *GROUND),
        ARRAYS,
        frozenset(SOCKETS),
    ),
    "common/training/optimizers": Room(("gradwire.common.arrays", *GROUND), ARRAYS, PURE),
    # What an entry holds and how long it is; how messages are framed and sent is none of its business.
    "common/downlinks": Room(
        (
            *("gradwire.common.arrays", "gradwire.common.codecs", "gradwire.common.training"),
            *("gradwire.common.transport.payloads", "gradwire.common.transport.traffic", "gradwire.proto"),
            *GROUND,
        ),
        ("numpy",),
        PURE,
    ),
    # The models of users: files in common forms, which torch and NumPy users read.
    "common/weights": Room(
        ("gradwire.common.arrays", "gradwire.common.system", "gradwire.common.training", *GROUND),
        ARRAYS,
        frozenset(SOCKETS),
    ),
    "common/system": Room(GROUND, never=frozenset(SOCKETS)),
    "common/transport": Room(EDGE, (*WIRE, "numpy", "cryptography")),
    "common": Room(GROUND, never=PURE),
    # The draw of a cohort follows from the seed; nothing else here is random.
    "server/rounds": Room(("gradwire.common.errors", "gradwire.common.randomness"), never=PURE),
    # Curves of a run in files that other programs read: nothing here knows of sockets.
    "server/sinks": Room(
        (*COMMON, "gradwire.server.log"), ("google.protobuf", "tensorboard"), frozenset(SOCKETS - {"socket"})
    ),
    "server": Room(EDGE, (*WIRE, "numpy")),
    "worker": Room(EDGE, (*WIRE, *ARRAYS, "rich", "scipy", "sklearn", "pooch", "pyarrow", "PIL")),
    # A user's program: no gRPC, whose threads do not survive the forks of data loaders.
    "worker/join": Room(
        ("gradwire.common", "gradwire.worker.tasks.torch.arrays"),
        ("numpy", "torch"),
        frozenset({"concurrent", "gradwire.common.system", "multiprocessing", "ssl"}),
    ),
    # Its wire process, which has all that the program must not have.
    "worker/join/wire.py": Room((*COMMON, "gradwire.worker")),
    "worker/join/loop.py": Room((*COMMON, "gradwire.worker"), ("numpy",)),
    "deploy": Room(
        ("gradwire.common", "gradwire.proto", "gradwire.server", "gradwire.worker"),
        (*WIRE, *TERMINAL, "numpy", "docker", "cryptography"),
    ),
    "bench": Room(
        ("gradwire.common", "gradwire.worker", "gradwire.server", "gradwire.deploy"),
        (*ARRAYS, *TERMINAL, "docker", "flwr", "scipy", "sklearn", "matplotlib"),
    ),
}
FOLDERS = sorted({path.partition("/")[0] for path in ROOMS})

# Code loaded by name, or run from data, is a door; numba is a second implementation of the kernels.
NOWHERE = {"cloudpickle", "dill", "joblib", "marshal", "numba", "pickle", "runpy", "shelve", *FOLDERS}
CALLS_NOWHERE = {"eval", "exec", "__import__"}
# Modules imported by a computed name, and why the name is safe.
BY_NAME = {
    "common/registry.py": "the files of the folder that asks",
    "common/extensions.py": "entry points of installed packages, and what the local command line allows",
    "deploy/command_group.py": "the files of a folder of commands, and what installed packages declare as commands",
}


def within(name: str, prefixes: tuple[str, ...] | frozenset[str] | set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def room_of(path: str) -> str:
    return max((room for room in ROOMS if path == room or path.startswith(f"{room}/")), key=len)


def is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name


def imports(tree: ast.AST, path: str) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it, with relative ones resolved."""
    package = ["gradwire", *path.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{prefix}.{alias.name}" for alias in node.names)
        elif is_call_of(node, "import_module") and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def import_faults(name: str, path: str) -> Iterator[str]:
    room = ROOMS[room_of(path)]
    folder = "gradwire." + room_of(path).removesuffix(".py").replace("/", ".")
    if within(name, NOWHERE):
        yield f"imports {name}, which nothing here does"
    elif within(name, room.never):
        yield f"imports {name}, which {room_of(path)} never touches"
    elif name.partition(".")[0] not in sys.stdlib_module_names:
        if not within(name, (folder, *room.gradwire, *room.others)):
            yield f"imports {name}, which {room_of(path)} may not touch"


def call_faults(tree: ast.AST, path: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        keywords = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        if name in CALLS_NOWHERE:
            yield f"calls {name}"
        if is_call_of(node, "import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
            if path not in BY_NAME:
                yield f"calls {name} with a computed name"
        if any(k.arg == "allow_pickle" for k in node.keywords) and keywords.get("allow_pickle") is not False:
            yield f"calls {name} with allow_pickle"
        if name == "torch.load" and keywords.get("weights_only") is not True:
            yield "calls torch.load without weights_only=True"


def faults(path: str, source: str) -> list[str]:
    """What a file at this path (from the root) with this text does that its room may not."""
    tree = ast.parse(source)
    found = [fault for name in imports(tree, path) for fault in import_faults(name, path)]
    return [f"{path}: {fault}" for fault in [*found, *call_faults(tree, path)]]


def test_no_file_leaves_its_room() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [
        fault
        for path in files
        if not path.stem.endswith("_pb2")
        for fault in faults(path.relative_to(ROOT).as_posix(), path.read_text())
    ]
    assert not found, "\n" + "\n".join(found)


def test_tests_import_the_installed_name() -> None:
    found = [
        f"tests/{path.name}: {name}"
        for path in (ROOT / "tests").rglob("*.py")
        for name in imports(ast.parse(path.read_text()), "tests/x.py")
        if within(name, set(FOLDERS))
    ]
    assert not found, found


def test_every_row_stands_for_something() -> None:
    assert not [path for path in BY_NAME if "import_module" not in (ROOT / path).read_text()]
    assert not [path for path in ROOMS if path.endswith(".py") and not (ROOT / path).is_file()]


def test_every_room_has_a_row() -> None:
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(FOLDERS)


FORBIDDEN = [
    ("common/codecs/x.py", "import grpc"),
    ("common/codecs/x.py", "from grpc import aio"),
    ("common/codecs/x.py", "import os.path"),
    ("common/codecs/x.py", "from pathlib import Path"),
    ("common/codecs/x.py", "def f():\n    import time"),
    ("common/codecs/x.py", "from gradwire.common import config"),
    ("common/codecs/x.py", "from gradwire.common.transport import channel"),
    ("common/codecs/x.py", "from ..transport import channel"),
    ("common/codecs/x.py", "from gradwire.proto import wire_pb2"),
    ("common/codecs/x.py", "import secrets"),
    ("common/arrays/x.py", "from gradwire.common.codecs import base"),
    ("common/arrays/x.py", "import scipy"),
    ("common/arrays/x.py", "import numba"),
    ("common/errors.py", "from gradwire.common.spec import Spec"),
    ("common/spec.py", "from gradwire.common import codecs"),
    ("common/registry.py", "from gradwire.common import codecs"),
    ("common/training/config.py", "import grpc"),
    ("common/training/config.py", "import socket"),
    ("common/training/config.py", "import gradwire.server"),
    ("common/training/config.py", "from gradwire import worker"),
    ("common/training/config.py", "import gradwire"),
    ("common/training/config.py", "from gradwire.common import transport"),
    ("common/transport/x.py", "from gradwire.server import servicer"),
    ("common/training/optimizers/x.py", "from importlib import import_module\nimport_module('grpc')"),
    ("common/privacy/x.py", "import grpc"),
    ("common/privacy/mechanisms/x.py", "import dp_accounting"),
    ("common/codecs/x.py", "from gradwire.common.privacy import ledger"),
    ("common/codecs/x.py", "from gradwire.common.downlinks import base"),
    ("common/training/x.py", "from gradwire.common.downlinks import base"),
    ("common/downlinks/x.py", "import grpc"),
    ("common/downlinks/x.py", "from gradwire.common.transport import framing"),
    ("common/downlinks/x.py", "import secrets"),
    ("server/rounds/x.py", "import time"),
    ("server/rounds/x.py", "from gradwire.server import session"),
    ("server/x.py", "from gradwire.worker import client"),
    ("server/x.py", "from gradwire import worker"),
    ("server/x.py", "import torch"),
    ("server/sub/x.py", "from ...worker import client"),
    ("server/x.py", "import importlib\nimportlib.import_module(name)"),
    ("server/x.py", "import pickle"),
    ("server/x.py", "eval(text)"),
    ("server/x.py", "import common"),
    ("server/x.py", "from common.codecs import base"),
    ("worker/x.py", "if TYPE_CHECKING:\n    from gradwire.server import rounds"),
    ("worker/x.py", "import gradwire.deploy.cli"),
    ("worker/x.py", "torch.load(file)"),
    ("worker/x.py", "np.load(file, allow_pickle=True)"),
    ("worker/x.py", "np.load(file, allow_pickle=flag)"),
    ("proto/x.py", "from gradwire.common import errors"),
    ("bench/x.py", "import server"),
]

ADMITTED = [
    ("common/codecs/x.py", "import math, itertools\nimport numpy as np\nfrom . import base"),
    ("common/codecs/x.py", "from ..arrays import bits\nfrom gradwire.common.errors import PayloadError"),
    ("common/registry.py", "import importlib, pkgutil\nimportlib.import_module(info.name)"),
    (
        "common/training/config.py",
        "import os, tomllib\nfrom gradwire.common.codecs import base\nre.compile(x)",
    ),
    (
        "common/downlinks/x.py",
        "from gradwire.proto import wire_pb2\nfrom gradwire.common.transport import traffic",
    ),
    ("common/transport/x.py", "import grpc, socket\nfrom gradwire.proto import wire_pb2"),
    ("server/x.py", "import sqlite3, asyncio, grpc\nfrom gradwire.common.transport import channel"),
    ("worker/x.py", "import torch\ntorch.load(f, weights_only=True)\nnp.load(f, allow_pickle=False)"),
]


@pytest.mark.parametrize(("path", "source"), FORBIDDEN)
def test_forbidden_import_is_noticed(path: str, source: str) -> None:
    assert faults(path, source), f"{path} got away with: {source}"


@pytest.mark.parametrize(("path", "source"), ADMITTED)
def test_admitted_import_is_left_alone(path: str, source: str) -> None:
    assert faults(path, source) == []
