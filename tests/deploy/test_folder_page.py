"""README.txt in a run's folder: written at the start and the end, and never in the way."""

from pathlib import Path

from gradwire.common.training.config import RunConfig
from gradwire.deploy.folder_page import FILES, PAGE, FolderPage
from gradwire.server.log.run_log import RunLog

CONFIG = RunConfig(task="softmax(digits)", codec="cross_polytope(repeats=9)", workers=3, rounds=7)


def page(folder: Path) -> list[str]:
    return [" ".join(line.split()) for line in (folder / PAGE).read_text(encoding="utf-8").splitlines()]


def begun(folder: Path, config: RunConfig = CONFIG) -> FolderPage:
    written = FolderPage(folder)
    with RunLog.create(folder, config, b"a run") as log:
        written.begin(log)
    return written


def test_page_says_what_the_run_is_and_how_it_goes_on(tmp_path: Path) -> None:
    begun(tmp_path)
    lines = page(tmp_path)
    assert lines[2:7] == [
        "task softmax(digits)", "codec cross_polytope(repeats=9)", "optimizer sgd(lr=0.1)", "workers 3",
        "rounds 0 of 7",
    ]  # fmt: skip
    assert all(f"{name} {what}" in lines for name, what in FILES.items())
    assert any(line.startswith("gradwire run --state-dir . go on") for line in lines)
    assert any(line.startswith("gradwire model save --state-dir . --out model.safetensors") for line in lines)


def test_page_of_the_end_has_the_outcome(tmp_path: Path) -> None:
    written = begun(tmp_path)
    written.note({"event": "round", "round": 4})
    written.write()
    assert "rounds 5 of 7" in page(tmp_path) and not any(line.startswith("digest") for line in page(tmp_path))
    written.note({"event": "round", "round": 6})
    best = {"metric": "accuracy", "value": 0.91234, "round": 4}
    summary = {"metrics": {"accuracy": 0.9}, "best": best, "digest": "00ff"}
    written.note({"event": "finished", "summary": summary})
    written.write()
    lines = page(tmp_path)
    assert lines[6:10] == [
        "rounds 7 of 7",
        "accuracy 0.9",
        "best accuracy 0.9123 after round 4",
        "digest 00ff",
    ]


def test_commands_allow_the_code_that_the_task_imports(tmp_path: Path) -> None:
    begun(tmp_path, RunConfig(task="custom(my.model:make)"))
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert text.count("--state-dir . --allow-task my.model:make") == 2


def test_folder_that_takes_no_file_goes_without(tmp_path: Path) -> None:
    (tmp_path / PAGE).mkdir()
    written = begun(tmp_path)
    written.write()
    assert sorted(path.name for path in tmp_path.iterdir()) == [PAGE, "run.db", "run.lock"]


def test_server_that_never_opened_the_log_writes_no_page(tmp_path: Path) -> None:
    FolderPage(tmp_path / "none").write()
    assert not list(tmp_path.iterdir())
