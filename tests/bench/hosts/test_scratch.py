"""Temporary folders: gone at the end, and after a kill -9 once the next one is made."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gradwire.bench.hosts.scratch import scratch

HOLDER = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from gradwire.bench.hosts.scratch import scratch
with scratch("test") as folder:
    (folder / "key").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_gone_at_the_end_however_that_comes(tmp_path: Path) -> None:
    with pytest.raises(KeyError), scratch("test") as folder:  # noqa: PT012
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o077 == 0
        (folder / "sub").mkdir()
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("gradwire-test-no-lock", "gradwire-kept-1", "another")]
    for folder in others:
        folder.mkdir()
    words = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        with scratch("test") as mine:
            assert {*tmp_path.iterdir()} == {held, mine, *others} and (held / "key").exists()
        holder.send_signal(signal.SIGKILL)
        assert holder.wait(60) == -signal.SIGKILL and held.exists()
    with scratch("test") as mine:
        assert {*tmp_path.iterdir()} == {mine, *others}
