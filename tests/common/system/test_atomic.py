"""Files that are replaced whole, and on the disk when the call returns."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradwire.common.system import atomic


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[os.stat_result]:
    """What fsync was called for, in order."""
    seen: list[os.stat_result] = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(os.fstat(handle)))
    return seen


@pytest.mark.parametrize("name", ["", "file"])
@pytest.mark.parametrize("fails", [False, True])
def test_sync_closes_what_it_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fails: bool
) -> None:
    (tmp_path / "file").write_text("text")
    seen: list[tuple[int, os.stat_result]] = []

    def fsync(handle: int) -> None:
        seen.append((handle, os.fstat(handle)))
        if fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with pytest.raises(OSError, match="No space left"):
            atomic.sync(tmp_path / name)
    else:
        atomic.sync(tmp_path / name)
    ((handle, status),) = seen
    assert os.path.samestat(status, (tmp_path / name).stat())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


@pytest.mark.parametrize("sole_writer", [False, True])
def test_write_syncs_the_file_then_the_folder(
    target: Path, synced: list[os.stat_result], sole_writer: bool
) -> None:
    atomic.write(target, [b"new ", memoryview(b"bytes")], sole_writer=sole_writer)
    assert target.read_bytes() == b"new bytes" and list(target.parent.iterdir()) == [target]
    file, folder = synced
    assert os.path.samestat(file, target.stat()) and os.path.samestat(folder, target.parent.stat())


def test_mode_holds_from_the_first_byte(target: Path) -> None:
    before = os.umask(0o022)
    try:
        atomic.write(target, [b"new"])
        assert stat.S_IMODE(target.stat().st_mode) == 0o644
        with atomic.replacing(target, mode=0o604) as partial:
            handle = os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600)
            os.close(handle)
        assert stat.S_IMODE(target.stat().st_mode) == 0o604
        modes = []

        def parts() -> Iterator[bytes]:
            (partial,) = set(target.parent.iterdir()) - {target}
            modes.append(stat.S_IMODE(partial.stat().st_mode))
            yield b"secret"

        atomic.write(target, parts(), mode=0o644)
        assert modes == [0o600] and stat.S_IMODE(target.stat().st_mode) == 0o644
    finally:
        os.umask(before)


def test_failed_write_leaves_the_target(target: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic.write(target, parts())
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def test_failed_sync_leaves_the_target(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(target, [b"new"])
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def test_no_overwrite_refuses_what_exists(target: Path) -> None:
    with pytest.raises(FileExistsError):
        atomic.write(target, [b"new"], overwrite=False)
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]
    atomic.write(target.with_name("other"), [b"new"], overwrite=False)
    assert target.with_name("other").read_bytes() == b"new" and len(list(target.parent.iterdir())) == 2


@pytest.mark.parametrize("sole_writer", [False, True])
def test_leftover_of_a_killed_writer_is_replaced(target: Path, sole_writer: bool) -> None:
    with atomic.replacing(target, sole_writer=sole_writer) as partial:
        partial.write_bytes(b"new")
    partial.write_bytes(b"a longer leftover")
    partial.chmod(0o400)
    atomic.write(target, [b"newer"], sole_writer=sole_writer)
    assert target.read_bytes() == b"newer" and list(target.parent.iterdir()) == [target]


def test_longest_name_has_room_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    atomic.require_replaceable(path)
    atomic.write(path, [b"new"])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_make_folder_syncs_each_parent(tmp_path: Path, synced: list[os.stat_result]) -> None:
    atomic.make_folder(tmp_path / "a" / "b")
    above = [tmp_path.stat(), (tmp_path / "a").stat()]
    assert [s.st_ino for s in synced] == [s.st_ino for s in above]
    atomic.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2
