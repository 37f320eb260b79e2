"""What is built is what stands in the tree: an unlisted folder or file type cannot vanish from the wheel."""

import shutil
import subprocess
import sys
import tomllib
from email import message_from_bytes
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
ROOMS = {package: folder for package, folder in SETUPTOOLS["package-dir"].items() if folder != "."}
ROOT_FILES = ("__init__.py", "py.typed")  # of the package gradwire itself, beside the rooms
SHIPPED = ["*.py", *SETUPTOOLS["package-data"]["*"]]
# Used from a checkout: images, overlays, manifests, certificates' recipes, measurement scripts.
FROM_CHECKOUT = ["bench/results/*", "deploy/*", "*.md"]


def package_files(root: Path) -> set[str]:
    """Every file of gradwire itself and of the rooms, as a path from the root."""
    return set(ROOT_FILES) | {
        path.relative_to(root).as_posix()
        for room in ROOMS.values()
        for path in (root / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def is_shipped(path: str) -> bool:
    return any(fnmatch(path.rpartition("/")[2], pattern) for pattern in SHIPPED)


def packages_in(root: Path) -> set[str]:
    """The packages that the tree holds: every folder of the rooms with something to ship."""
    folders = {path.rpartition("/")[0] for path in package_files(root) if is_shipped(path)}
    return {f"gradwire.{folder}".replace("/", ".").rstrip(".") for folder in folders}


def build_wheel(root: Path, out: Path) -> Path:
    """Build from a copy: the checkout's own build/ may hold files that are long gone."""
    copy = out / "tree"
    copy.mkdir()
    for name in ["pyproject.toml", "README.md", "LICENSE", *ROOT_FILES]:
        shutil.copy(root / name, copy)
    for room in ROOMS.values():
        shutil.copytree(root / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("*.whl"))


def assert_wheel_matches(wheel: Path, root: Path) -> None:
    expected = {f"gradwire/{path}" for path in package_files(root) if is_shipped(path)}
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    missing, extra = sorted(expected - found), sorted(found - expected)
    assert not missing, f"not in the wheel: {missing}; list the package in pyproject.toml"
    assert not extra, f"in the wheel, not in the tree: {extra}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_every_room_is_mapped() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == set(ROOMS.values()), "a room and its line under tool.setuptools.package-dir come together"
    assert all(package == f"gradwire.{folder}" for package, folder in ROOMS.items())


def test_every_package_is_listed() -> None:
    assert packages_in(ROOT) == set(SETUPTOOLS["packages"]), "list each package in pyproject.toml"
    assert len(SETUPTOOLS["packages"]) == len(set(SETUPTOOLS["packages"]))


def test_every_package_says_what_it_holds() -> None:
    for package in packages_in(ROOT):
        init = ROOT.joinpath(*package.split(".")[1:], "__init__.py")
        assert init.is_file(), f"{package} has no __init__.py"
        assert init.read_text().startswith('"""'), f"{init} does not say what the folder holds"


def test_every_file_ships_or_is_known_to_stay() -> None:
    stray = [
        path
        for path in package_files(ROOT)
        if not is_shipped(path) and not any(fnmatch(path, pattern) for pattern in FROM_CHECKOUT)
    ]
    assert not stray, f"add the pattern to package-data in pyproject.toml, or to FROM_CHECKOUT here: {stray}"


@pytest.mark.slow
def test_wheel_matches_the_tree(wheel: Path) -> None:
    assert_wheel_matches(wheel, ROOT)


@pytest.mark.slow
def test_wheel_states_its_metadata(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        info = {name.partition(".dist-info/")[2]: name for name in archive.namelist()}
        metadata = message_from_bytes(archive.read(info["METADATA"]))
        scripts = archive.read(info["entry_points.txt"]).decode()
    assert (metadata["Name"], metadata["License-Expression"]) == ("gradwire", "Apache-2.0")
    assert "licenses/LICENSE" in info
    assert metadata["Version"] == PYPROJECT["project"]["version"]
    assert "gradwire = gradwire.deploy.start:main" in scripts


@pytest.mark.slow
@pytest.mark.slow
def test_every_module_of_the_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    modules = sorted(
        path.relative_to(tmp_path).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in (tmp_path / "gradwire").rglob("*.py")
        if path.name != "__main__.py"
    )
    program = f"""
import importlib, pathlib, sys
sys.path.insert(0, {str(tmp_path)!r})
sys.meta_path[:] = [f for f in sys.meta_path if not str(getattr(f, '__module__', '')).startswith('__editable__')]
for name in {modules!r}:
    module = importlib.import_module(name)
    assert pathlib.Path(module.__file__).is_relative_to({str(tmp_path)!r}), module.__file__
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_forgotten_package_is_noticed(tmp_path: Path) -> None:
    mutant = tmp_path / "mutant"
    shutil.copytree(ROOT, mutant, ignore=shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info"))
    forgotten = mutant / "common" / "forgotten"
    forgotten.mkdir()
    (forgotten / "__init__.py").write_text('"""Not in the list."""\n')
    assert packages_in(mutant) - packages_in(ROOT) == {"gradwire.common.forgotten"}
    with pytest.raises(AssertionError, match="gradwire/common/forgotten/__init__"):
        assert_wheel_matches(build_wheel(mutant, tmp_path), mutant)
