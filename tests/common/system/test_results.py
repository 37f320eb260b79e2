"""Results: what is written, atomically, and what is refused before the result is computed."""

import errno
import json
import math
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.system.results import ResultFile, to_json


def kept(path: Path) -> str:
    """Write through every check; what the file then holds."""
    file = ResultFile(str(path))
    file.check()
    file.write("new\n")
    return path.read_text()


def test_file_is_made_or_replaced_with_its_mode(tmp_path: Path) -> None:
    assert kept(tmp_path / "new.json") == "new\n"
    old = tmp_path / "old.json"
    old.write_text("old and longer\n")
    old.chmod(0o640)
    assert kept(old) == "new\n"
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.json", "old.json"]


def test_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.mkdir()
    (real / "out.json").write_text("old\n")
    for name in ("out.json", "not-there-yet.json"):
        link = tmp_path / name
        link.symlink_to(real / name)
        assert kept(link) == "new\n" and link.is_symlink() and (real / name).is_file()


def test_device(tmp_path: Path) -> None:
    before = Path(os.devnull).stat()
    file = ResultFile(os.devnull)
    file.check()
    file.write("gone\n")
    after = Path(os.devnull).stat()
    assert (after.st_ino, after.st_rdev, after.st_mode) == (before.st_ino, before.st_rdev, before.st_mode)


def test_fifo(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    file = ResultFile(str(path))
    file.check()  # nobody reads yet
    writing = threading.Thread(target=file.write, args=("through\n",))
    writing.start()
    assert path.read_text() == "through\n"
    writing.join()
    assert stat.S_ISFIFO(path.stat().st_mode)


def folder(tmp_path: Path) -> Path:
    return tmp_path


def missing_folder(tmp_path: Path) -> Path:
    return tmp_path / "none" / "out.json"


def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file" / "out.json"


def circle(tmp_path: Path) -> Path:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    return tmp_path / "circle"


def long_name(tmp_path: Path) -> Path:
    return tmp_path / ("x" * 300)


@pytest.mark.parametrize("place", [folder, missing_folder, below_a_file, circle, long_name])
def test_unwritable_places(place: object, tmp_path: Path) -> None:
    path = place(tmp_path)  # type: ignore[operator]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="cannot write") as caught:
        ResultFile(str(path)).check()
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses even root")
def test_file_system_without_files() -> None:
    with pytest.raises(ConfigError, match="no file can be made in /proc"):
        ResultFile("/proc/out.json").check()


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.json"
    path.write_text("old\n")

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ConfigError, match="No space left on device"):
        ResultFile(str(path)).write("new\n")
    assert path.read_text() == "old\n" and [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_own_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    program = f"from gradwire.common.system.results import ResultFile; ResultFile({str(path)!r}).check()"
    with path.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode and b"own output goes" in done.stderr


def test_non_finite_numbers_become_null() -> None:
    text = to_json({"a": [math.nan, (math.inf, 1)], "b": {"c": -math.inf, "d": "NaN"}, "e": 2.5})
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [None, [None, 1]], "b": {"c": None, "d": "NaN"}, "e": 2.5
    }  # fmt: skip
