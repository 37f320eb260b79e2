"""The own data of each process of `gradwire run`, and the commands around it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradwire.common.errors import ConfigError, DataError, GradwireError, SpecError, TaskError
from gradwire.common.training.config import RunConfig
from gradwire.deploy import cli
from gradwire.deploy.options import RunOptions
from gradwire.deploy.preflight import check, check_names
from gradwire.deploy.run.launch import worker_arguments
from gradwire.deploy.run.sites import check_sites, processes_asked, shown_flags
from gradwire.deploy.site import options_from, site_from
from gradwire.worker.data.own import read_schema
from gradwire.worker.site import Site

CSV = "a,b,y\n1,2,no\n3,4,yes\n5,7,no\n"
FILE = RunConfig(task="softmax(file)", workers=3)
OWN = RunOptions(
    data="site-{process}/train.csv", schema="schema.toml", option=("test=site-{process}/test.csv",),
    devices="cuda:0, cpu",
)  # fmt: skip

runner = CliRunner()


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        (tmp_path / f"site-{number}").mkdir()
        (tmp_path / f"site-{number}" / "train.csv").write_text(CSV)
        (tmp_path / f"site-{number}" / "test.csv").write_text(CSV)
    assert runner.invoke(cli.app, ["data", "schema", "site-0/train.csv"]).exit_code == 0
    return tmp_path


def test_each_process_gets_its_own_paths_and_the_next_device() -> None:
    words = [worker_arguments(FILE, OWN, Path("run"), k, range(k, k + 1)) for k in range(3)]
    for number, device in enumerate(("cuda:0", "cpu", "cuda:0")):
        flags = ["--data", f"site-{number}/train.csv", "--schema", "schema.toml", "--device", device,
                 "--option", f"test=site-{number}/test.csv"]  # fmt: skip
        assert " ".join(flags) in " ".join(words[number])
    assert not {"--data", "--schema", "--device", "--option"} & {
        *worker_arguments(FILE, RunOptions(), Path("run"), 0, range(1))
    }


def test_a_path_for_each_process_asks_for_a_process_per_worker() -> None:
    assert processes_asked(FILE, OWN) == 3
    assert processes_asked(FILE, RunOptions(data="site-{process}", processes=2)) == 2
    assert processes_asked(FILE, RunOptions(data="all.csv")) is None


def test_the_command_that_resumes_a_run_names_the_data() -> None:
    assert shown_flags(OWN) == [
        "--data", "site-{process}/train.csv", "--schema", "schema.toml", "--devices", "cuda:0, cpu",
        "--option", "test=site-{process}/test.csv",
    ]  # fmt: skip


@pytest.mark.usefixtures("sites")
def test_sites_that_are_complete() -> None:
    check(FILE, ())
    check_sites(FILE, OWN, 3)
    check_sites(RunConfig(task="custom(a:b)"), RunOptions(data="site-0", option=("any=thing",)), 3)


@pytest.mark.parametrize(
    ("task", "options", "error", "says"),
    [
        ("softmax(file)", RunOptions(), TaskError,
         r"softmax\(file\) trains on the sites' own data: pass --data, e.g. 'site-\{process\}/train.csv'"),
        ("softmax(file)", RunOptions(data="site-{process}/tarin.csv"), DataError,
         "--data of process 0: there is no site-0/tarin.csv"),
        ("softmax(file)", RunOptions(data="site-0", schema="s-{process}.toml"), DataError,
         "--schema of process 0: there is no s-0.toml"),
        ("softmax(file)", RunOptions(data="site-0", schema="site-0/train.csv"), DataError, "train.csv is not TOML"),
        ("softmax(file)", RunOptions(data="site-{process}", option=("test=site-{process}/t",)), DataError,
         "--option test of process 0: there is no site-0/t"),
        ("softmax(file)", RunOptions(data="site-0", option=("test",)), ConfigError,
         "--option 'test' cannot be read: write key=value"),
        ("softmax(file)", RunOptions(data="site-0", devices="cpu,,"), ConfigError, "devices is 'cpu,,'"),
        ("softmax(digits)", RunOptions(data="site-0"), TaskError, r"softmax\(digits\) takes no data of a site"),
        ("mlp(digits)", RunOptions(option=("test=x",)), TaskError, r"mlp\(digits\) takes no data"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sites")
def test_sites_that_are_refused(
    task: str, options: RunOptions, error: type[GradwireError], says: str
) -> None:
    with pytest.raises(error, match=says):
        check_sites(RunConfig(task=task, workers=3), options, 3)


def test_the_folder_of_the_last_process_is_missing(sites: Path) -> None:
    (sites / "site-2" / "train.csv").unlink()
    with pytest.raises(DataError, match=r"--data of process 2: there is no site-2/train.csv"):
        check_sites(FILE, OWN, 3)


def test_partitions_are_checked_by_name() -> None:
    assert check_names(RunConfig(task="softmax(digits)", partition="dirichlet(0.1)")) == 650
    with pytest.raises(SpecError, match="unknown partition 'dirchlet': did you mean dirichlet"):
        check_names(RunConfig(task="softmax(digits)", partition="dirchlet(0.1)"))


# ---- flags of gradwire worker ------------------------------------------------------------------------------


def test_a_site_from_flags() -> None:
    site = site_from(Path("a.csv"), Path("s.toml"), ["test=b.csv", "k=v=w"], "cpu")
    assert site == Site(
        data=Path("a.csv"), schema=Path("s.toml"), options={"test": "b.csv", "k": "v=w"}, device="cpu"
    )
    assert site_from(None, None, None, None) == Site(options={})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a"], "'a' cannot be read"),
        (["=b"], "cannot be read"),
        (["a="], "cannot be read"),
        (["a=1", "a=2"], "twice"),
    ],
)
def test_options_that_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        options_from(words)


# ---- gradwire data schema ----------------------------------------------------------------------------------


def test_a_first_schema_is_to_be_reviewed_and_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,a,b,y\np1,1,2,no\np2,3,4,yes\n")
    words = ["data", "schema", str(tmp_path / "t.csv"), "--out", str(tmp_path / "s.toml")]
    result = runner.invoke(cli.app, words)
    assert result.exit_code == 0 and "2 features, 2 classes; review it" in result.output
    assert "Left out, not numbers: id\n" in result.output
    text = (tmp_path / "s.toml").read_text()
    assert "separator" not in text  # each site's file may have another
    assert "use this same file at every site" in text and "# Left out, not numbers: id\n" in text
    assert read_schema(tmp_path / "s.toml").names == ("a", "b")
    refused = runner.invoke(cli.app, [*words, "--label", "a"])
    assert isinstance(refused.exception, ConfigError) or refused.exit_code == 2
    assert (tmp_path / "s.toml").read_text() == text
    assert runner.invoke(cli.app, [*words, "--label", "a", "--force"]).exit_code == 0
    assert read_schema(tmp_path / "s.toml").label == "a"


def test_a_schema_on_standard_output(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    result = runner.invoke(cli.app, ["data", "schema", str(tmp_path / "t.csv"), "--out", "-"])
    (tmp_path / "s.toml").write_text(result.output)
    assert read_schema(tmp_path / "s.toml").classes == ("no", "yes")
