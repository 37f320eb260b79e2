"""Every data set by name: its shape, where it is published, and how it is read.

The checksums of MNIST, Fashion-MNIST, a9a, Gisette and the CIFAR-10 archive agree with those that independent projects
publish. Those of a5a and splice were computed from one copy whose sample counts and dimensions are the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean
from gradwire.worker.data import cifar, digits, gisette, idx, libsvm
from gradwire.worker.data.dataset import Arrays
from gradwire.worker.data.files import PublicFile

_LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/"
_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/gisette/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue.

    Attributes:
        read: reads the four arrays from the folder that holds the files.
        files: what is downloaded; none for a set that cannot be downloaded.
        local: files that a folder must hold when there is nothing to download.
        present: overrides the rule that a folder must hold every file.
        batches: where a folder may hold a part of the training batches: a function that counts them, and their total.
        embedded: scikit-learn contains it.
    """

    name: str
    samples: int
    test_samples: int
    dim: int
    classes: int
    source: str
    read: Callable[[Path], Arrays]
    files: tuple[PublicFile, ...] = ()
    local: tuple[str, ...] = ()
    present: Callable[[Path], bool] | None = None
    batches: tuple[Callable[[Path], int], int] | None = None
    embedded: bool = False

    def is_in(self, folder: Path) -> bool:
        """Whether a folder holds what ``read`` needs."""
        if self.present is not None:
            return self.present(folder)
        needed = self.local or tuple(file.name for file in self.files)
        return bool(needed) and all((folder / name).is_file() for name in needed)


def _files(bases: tuple[str, ...], *rows: tuple[str, str, int | None]) -> tuple[PublicFile, ...]:
    return tuple(
        PublicFile(name.rsplit("/", 1)[-1], tuple(base + name for base in bases), sha256, nbytes)
        for name, sha256, nbytes in rows
    )


_MNIST_FILES = _files(
    _MNIST,
    (idx.FILES[0], "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422),
    (idx.FILES[1], "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
    (idx.FILES[2], "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
    (idx.FILES[3], "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
)
_FASHION_FILES = _files(
    _FASHION,
    (idx.FILES[0], "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880),
    (idx.FILES[1], "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515),
    (idx.FILES[2], "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
    (idx.FILES[3], "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
)
_CIFAR_FILES = _files(
    (_CIFAR,),
    (cifar.ARCHIVE, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170_052_171),
)
_A5A_FILES = _files(
    (_LIBSVM,),
    ("a5a", "5cb3a6603de0a0eb43afcdd45b1820c71ee7f20da1c09f054696bb71cbc45ad8", 458_892),
    ("a5a.t", "8d911863aff23684d48202c731124cb0cdde3f923f50d813f9cfbb185abe4e38", 1_870_983),
)
_A9A_FILES = _files(
    (_LIBSVM,),
    ("a9a", "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906", 2_329_875),
    ("a9a.t", "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9", 1_164_628),
)
_SPLICE_FILES = _files(
    (_LIBSVM,),
    ("splice", "5eee48697657a500cf014322130fafc46706beb8d8ae6837cdbee6672b213897", 714_483),
    ("splice.t", "5f2f81f7ef8c9c638c27954899b5c993a95003f739cd55c63ee6dabef6ccad2a", 1_553_994),
)
_GISETTE_FILES = _files(
    (_UCI,),
    (f"GISETTE/{gisette.FILES[0]}", "6d4c5e998afe67937b9e77a3334e03c85e545ebc65a6eb1333ffc14125cfc389", None),
    (f"GISETTE/{gisette.FILES[1]}", "42bd681fe51b161f033df773df14a0116e492676555ab14616c1b72edc054075", None),
    (f"GISETTE/{gisette.FILES[2]}", "5cea897956dd172a006132738254a27a8f61ecc1ceb6f5b20639c281d2942254", None),
    (gisette.FILES[3], "a6b857a0448023f033c4dda2ef848714b4be2ae45ce598d088fb3efb406e08c5", None),
)

_ENTRIES = (
    Entry("digits", 1_438, 359, 64, 10, "scikit-learn", digits.read_digits, embedded=True),
    Entry("mnist", 60_000, 10_000, 784, 10, _MNIST[0], idx.read_idx_folder, _MNIST_FILES),
    Entry("fashion_mnist", 60_000, 10_000, 784, 10, _FASHION[0], idx.read_idx_folder, _FASHION_FILES),
    Entry(
        "cifar10", 50_000, 10_000, cifar.PIXELS, 10, _CIFAR, cifar.read_cifar_folder, _CIFAR_FILES,
        present=cifar.is_present, batches=(cifar.train_batches, len(cifar.TRAIN)),
    ),
    Entry("a5a", 6_414, 26_147, 122, 2, _LIBSVM, libsvm.read_libsvm_folder, _A5A_FILES),
    Entry("a9a", 32_561, 16_281, 123, 2, _LIBSVM, libsvm.read_libsvm_folder, _A9A_FILES),
    Entry("splice", 1_000, 2_175, 60, 2, _LIBSVM, libsvm.read_libsvm_folder, _SPLICE_FILES),
    Entry("gisette", 6_000, 1_000, 5_000, 2, _UCI, gisette.read_gisette_folder, _GISETTE_FILES),
    Entry(
        "mnist49", 6_000, 1_000, 5_000, 2, "a local stand-in for gisette, made from MNIST",
        gisette.read_stand_in_folder, local=(gisette.STAND_IN,),
    ),
)  # fmt: skip
CATALOG = {entry.name: entry for entry in _ENTRIES}


def entry_of(name: str) -> Entry:
    """The catalogue's entry.

    Raises:
        DataError: no data set of that name.
    """
    if name not in CATALOG:
        raise DataError(f"no data set is called {name!r}{did_you_mean(name, CATALOG)}")
    return CATALOG[name]
