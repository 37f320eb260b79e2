"""The readers: well-formed files are read, malformed ones are refused with file and line."""

import gzip
import io
import lzma
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.errors import DataError
from gradwire.worker.data.cifar import (
    ARCHIVE,
    PIXELS,
    TEST,
    TRAIN,
    is_present,
    parse_batch,
    read_cifar_folder,
)
from gradwire.worker.data.files import read_unpacked
from gradwire.worker.data.idx import FILES as IDX_FILES
from gradwire.worker.data.idx import parse_idx, read_idx_folder
from gradwire.worker.data.libsvm import fit_width, parse_libsvm, read_libsvm_folder


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def cifar_bytes(labels: list[int]) -> bytes:
    return b"".join(bytes([label]) + bytes([label]) * PIXELS for label in labels)


@given(st.lists(st.integers(0, 4), max_size=3), st.randoms(use_true_random=False))
def test_idx_round_trip(shape: list[int], random) -> None:
    array = np.frombuffer(random.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    np.testing.assert_array_equal(parse_idx(idx_bytes(array), "file"), array)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x0d\x01" + bytes(8), "starts with 00000d01"),  # float32
        (b"\x00\x00\x08\x03\x00\x00", "ends inside its header"),
        (idx_bytes(np.zeros((2, 3), np.uint8))[:-1], "has 17 bytes, expected 18 for shape [2, 3]"),
        (idx_bytes(np.zeros((2, 3), np.uint8)) + b"x", "has 19 bytes, expected 18"),
        # A header of 2^64 is only compared
        (
            b"\x00\x00\x08\x02" + b"\xff" * 8,
            "expected 18446744065119617037",
        ),
    ],
)
def test_malformed_idx(content: bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_idx(content, "file")
    assert says in str(caught.value)


def write_idx_folder(folder: Path, labels: int = 2, largest: int = 9) -> None:
    for images, classes in (IDX_FILES[:2], IDX_FILES[2:]):
        (folder / images).write_bytes(gzip.compress(idx_bytes(np.full((2, 2, 3), 51, np.uint8))))
        (folder / classes).write_bytes(gzip.compress(idx_bytes(np.full(labels, largest, np.uint8))))


def test_images_become_rows_in_the_unit_interval(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    x_train, y_train, x_test, _ = read_idx_folder(tmp_path)
    assert x_train.shape == x_test.shape == (2, 6) and x_train.dtype == np.float32
    assert np.all(x_train == np.float32(0.2)) and y_train.tolist() == [9, 9] and y_train.dtype == np.int64


def test_images_and_labels_disagree(tmp_path: Path) -> None:
    write_idx_folder(tmp_path, labels=3)
    with pytest.raises(DataError, match=r"has shape \[2, 2, 3\] and .*labels.* \[3\]"):
        read_idx_folder(tmp_path)
    write_idx_folder(tmp_path, largest=10)
    with pytest.raises(DataError, match="holds the label 10"):
        read_idx_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"), [("a.gz", b"no gzip"), ("a.gz", gzip.compress(b"abc" * 99, mtime=0)[:-9])]
)
def test_damaged_packed_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*a\.gz"):
        read_unpacked(tmp_path / name)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_unpacked(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has 0 bytes"),
        (cifar_bytes([1])[:-1], "has 3072 bytes, expected a multiple of 3073"),
        (cifar_bytes([10]), "holds the label 10"),
    ],
)
def test_malformed_cifar(content: bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_batch(content, "batch")
    assert says in str(caught.value)


def test_cifar_batches(tmp_path: Path) -> None:
    assert not is_present(tmp_path)
    (tmp_path / TEST).write_bytes(cifar_bytes([7]))
    assert not is_present(tmp_path)  # a test batch alone trains nothing
    (tmp_path / TRAIN[3]).write_bytes(cifar_bytes([5, 6]))
    (tmp_path / f"{TRAIN[0]}.xz").write_bytes(lzma.compress(cifar_bytes([3])))
    assert is_present(tmp_path)
    x_train, y_train, x_test, y_test = read_cifar_folder(tmp_path)
    assert y_train.tolist() == [3, 5, 6] and y_test.tolist() == [7]
    assert x_train.shape == (3, PIXELS) and x_test[0, 0] == np.float32(7 / 255)


def write_archive(path: Path, names: tuple[str, ...]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for label, name in enumerate(names):
            content = cifar_bytes([label])
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_cifar_archive(tmp_path: Path) -> None:
    write_archive(tmp_path / ARCHIVE, ("readme.html", TEST, *reversed(TRAIN)))
    _, y_train, _, y_test = read_cifar_folder(tmp_path)
    assert y_train.tolist() == [6, 5, 4, 3, 2] and y_test.tolist() == [1]  # batch order, not archive order


def test_damaged_cifar_archive(tmp_path: Path) -> None:
    write_archive(tmp_path / ARCHIVE, (TEST, *TRAIN[:4]))
    with pytest.raises(DataError, match="data_batch_5"):
        read_cifar_folder(tmp_path)
    (tmp_path / ARCHIVE).write_bytes((tmp_path / ARCHIVE).read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot read"):
        read_cifar_folder(tmp_path)


def test_libsvm_text() -> None:
    x, y = parse_libsvm(b"-1 3:1 5:-2.5e-1 \n+1 1:.5\n1\n-1.000 2:4\n", "file")
    assert y.tolist() == [0, 1, 1, 0] and y.dtype == np.int64 and x.dtype == np.float32
    np.testing.assert_array_equal(x, [[0, 0, 1, 0, -0.25], [0.5, 0, 0, 0, 0], [0] * 5, [0, 4, 0, 0, 0]])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"2 1:1", "line 2: cannot read '2 1:1'"),
        (b"", "line 2: cannot read ''"),
        (b"1 1:x", "line 2"),
        (b"1 1:1:1", "line 2"),
        (b"1 0:1", "line 2"),
        (b"1 1:nan", "line 2"),
        (b"1 1:inf", "line 2"),
        (b"1 qid:3 1:1", "line 2"),
        (b"\xff\xfe", "line 2"),
        (b"1 3:1 2:1", "line 2: the feature numbers do not ascend"),
        (b"1 2:1 2:1", "line 2: the feature numbers do not ascend"),
        (b"1 999999999:1", "line 2: feature 999999999, expected at most 100000"),
        (b"1 1:1e99", "line 2: a value is beyond float32"),
        (b"1 1:" + b"9" * 60, "line 2: a value is beyond float32"),
    ],
)
def test_malformed_libsvm_line(line: bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_libsvm(b"1 1:1\n" + line + b"\n-1 2:1\n", "a9a")
    assert str(caught.value).startswith("a9a, ") and says in str(caught.value)


def test_empty_libsvm_file() -> None:
    with pytest.raises(DataError, match="empty"):
        parse_libsvm(b"", "a9a")


def test_libsvm_dimension_from_the_training_file(tmp_path: Path) -> None:
    folder = tmp_path / "a5a"
    folder.mkdir()
    (folder / "a5a").write_bytes(b"1 1:1 4:1\n")
    (folder / "a5a.t").write_bytes(b"1 4:2 5:3\n-1 1:1\n")
    x_train, _, x_test, y_test = read_libsvm_folder(folder)
    assert x_train.shape == (1, 4) and y_test.tolist() == [1, 0]
    np.testing.assert_array_equal(x_test, [[0, 0, 0, 2], [1, 0, 0, 0]])
    np.testing.assert_array_equal(fit_width(x_test[:, :2], 3), [[0, 0, 0], [1, 0, 0]])
