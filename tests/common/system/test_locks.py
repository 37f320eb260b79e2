"""Locks between processes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gradwire.common.system.locks import FileLock

HOLD = """
import sys
from pathlib import Path
from gradwire.common.system.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(blocking=False), flush=True)
sys.stdin.read()
"""


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock(path, create_mode=0o600)
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        assert not lock.acquire(blocking=False)
        other.kill()
        other.wait(60)
        assert lock.acquire(blocking=False)
    lock.close()


def test_blocking_acquire_waits_for_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock(path, create_mode=0o600)
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        assert other.stdin is not None
        other.stdin.close()
        assert lock.acquire()  # returns once the holder, which reads the end of its input, is gone
        assert other.wait(60) == 0
    lock.close()


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    first = FileLock(tmp_path / "lock", create_mode=0o600)
    second = FileLock(tmp_path / "lock")
    assert first.acquire() and not second.acquire(blocking=False)
    first.close()
    first.close()
    assert second.acquire(blocking=False)
    second.close()


def test_missing_file_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "lock")
    FileLock(tmp_path / "lock", create_mode=0o600).close()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_link_is_refused_when_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(tmp_path / "link", follow_links=False)
    FileLock(tmp_path / "link").close()


def test_read_only_file_can_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o400)
    lock = FileLock(tmp_path / "file")
    assert lock.acquire(blocking=False)
    lock.close()


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held, other = FileLock(path, create_mode=0o600), FileLock(path)
    assert held.acquire(blocking=False) and not other.acquire_within(0.0)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(other.acquire_within, 600.0)
        held.close()
        assert waiting.result(600.0)
