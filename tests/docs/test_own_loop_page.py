"""docs/own-loop.md: its scripts, as they stand there, take part in runs of a real server; so does the README's loop."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import documents
from tests.docs.pages import path_of, text_of

GRADWIRE = Path(sys.executable).with_name("gradwire")
ADDRESS = "127.0.0.1:50051"
BLOCKS = documents.blocks(path_of("own-loop"))
DIFFS = {block.mark: block.text.splitlines() for block in BLOCKS if block.kind == "diff"}
FILES = {block.mark.removeprefix("file: "): block.text for block in BLOCKS if block.mark.startswith("file: ")}
SITES = 3
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}  # all sites share this machine

needs_torch = pytest.mark.usefixtures("torch_installed")


@pytest.fixture
def torch_installed() -> None:
    pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data of three sites, as the page makes them."""
    subprocess.run([sys.executable, "-c", FILES["split.py"]], cwd=tmp_path, check=True)
    return tmp_path


def joined(name: str) -> str:
    """A script with its diff applied."""
    return "".join(line[1:] + "\n" for line in DIFFS[name] if line[0] != "-")


def plain(name: str) -> str:
    """The script before."""
    return "".join(line[1:] + "\n" for line in DIFFS[name] if line[0] != "+")


def train(folder: Path, script: str, *options: str, sites: int = SITES) -> dict[str, Any]:
    """The summary of a run in which each site runs the script in its own folder; all of them succeed."""
    command = [
        GRADWIRE, "server", *options, "--listen", "127.0.0.1:0", "--state-dir", folder / "run", "--progress", "json"
    ]  # fmt: skip
    with started(command, folder, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["address"]
        assert script.count(ADDRESS) == 1
        (folder / "site.py").write_text(script.replace(ADDRESS, address), encoding="utf-8")
        commands = [[sys.executable, folder / "site.py"] for _ in range(sites)]
        processes = [
            subprocess.Popen(
                words, cwd=folder / f"site-{site}", stderr=subprocess.PIPE, text=True, env=ONE_THREAD
            )
            for site, words in enumerate(commands)
        ]
        try:
            for process in processes:
                _, said = process.communicate(timeout=300)
                assert process.returncode == 0, said
                assert "Warning" not in said
            events = [json.loads(line) for line in server.stdout]
        finally:
            for process in processes:
                process.kill()
        assert server.wait(60) == 0
    summary: dict[str, Any] = events[-1]["summary"]
    return summary


@contextmanager
def started(command: list[Any], folder: Path, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, cwd=folder, text=True, **streams)
    with closing(process.stdout) if process.stdout is not None else process:
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def server_options() -> list[str]:
    """Those of the page's first server."""
    command = re.search(r"^\$ gradwire server (--task own .*)$", text_of("own-loop"), re.MULTILINE)
    assert command is not None
    return shlex.split(command[1])


@pytest.mark.parametrize("name", DIFFS)
def test_at_most_five_lines_are_added(name: str) -> None:
    added = [line for line in DIFFS[name] if line.startswith("+")]
    assert 3 <= len(added) <= 5 and all(line[:1] in {" ", "+", "-"} for line in DIFFS[name])
    compile(plain(name), name, "exec")
    compile(joined(name), name, "exec")
    assert "gradwire" not in plain(name)


@pytest.mark.slow
@needs_torch
def test_three_sites_end_with_one_model(folder: Path) -> None:
    import torch

    summary = train(folder, joined("train.py"), *server_options())
    models = [torch.load(folder / f"site-{site}" / "model.pt", weights_only=True) for site in range(SITES)]
    assert summary["replicas_agree"] and summary["loss"] < 0.5
    assert all(torch.equal(models[0][name], other[name]) for other in models[1:] for name in models[0])


@pytest.mark.slow
@needs_torch
def test_gradients(folder: Path) -> None:
    script = joined("gradients.py")
    summary = train(
        folder, script, "--task", "own", "--workers", "3", "--rounds", "60", "--lr", "0.1", "--codec", "float32"
    )  # fmt: skip
    assert summary["replicas_agree"] and summary["loss"] < 2.2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numpy_site.py", "sklearn_site.py", "jax_site.py"])
def test_arrays(folder: Path, name: str) -> None:
    if "import jax" in FILES[name]:
        pytest.importorskip("jax")
    summary = train(
        folder, FILES[name], "--task", "own", "--workers", "3", "--rounds", "4", "--codec", "float32"
    )  # fmt: skip
    assert summary["replicas_agree"] and summary["rounds"] == 4


@pytest.mark.slow
@needs_torch
def test_the_loop_of_the_readme(folder: Path) -> None:
    (loop,) = (
        block.text
        for block in documents.blocks(documents.ROOT / "README.md")
        if "gradwire.join" in block.text
    )
    address = re.search(r'gradwire\.join\("([^"]+)", model, cert="alice\.pem"', loop)
    assert address is not None
    before = plain("train.py").partition("for epoch")[0]
    script = f"import gradwire\n{before}loss_function = torch.nn.functional.cross_entropy\n"
    script += loop.replace(address[0], f'gradwire.join("{ADDRESS}", model')
    summary = train(folder, script, "--task", "own", "--workers", "2", "--rounds", "3", sites=2)
    assert summary["replicas_agree"] and summary["rounds"] == 3
