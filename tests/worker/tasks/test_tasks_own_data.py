"""softmax(file), mlp(file) and logistic(file): all that a site has, by its schema, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gradwire.common.errors import DataError, SpecError, TaskError
from gradwire.common.spec import parse_spec, spec_of
from gradwire.worker.data.own import first_schema, to_toml
from gradwire.worker.site import Site
from gradwire.worker.tasks import build_task, parse_task
from gradwire.worker.tasks.supervised import SupervisedTask


def table(path: Path, rows: int, seed: int = 0, classes: tuple[str, ...] = ("no", "yes")) -> Path:
    """A CSV of two features and a label that depends on them."""
    rng = np.random.default_rng(seed)
    lines = ["a,b,y"]
    for a, b in rng.normal(size=(rows, 2)):
        lines.append(f"{a:.6f},{b:.6f},{classes[int(a + b > 0)]}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    data = table(tmp_path / "train.csv", 100)
    (tmp_path / "schema.toml").write_text(to_toml(first_schema(data).schema))
    return Site(data=data, schema=tmp_path / "schema.toml", workers=(4,))


def build(text: str, site: Site, **more: object) -> SupervisedTask:
    task = build_task(text, workers=6, seed=3, site=replace(site, seed=3), **more)  # type: ignore[arg-type]
    assert isinstance(task, SupervisedTask)
    return task


@pytest.mark.parametrize("text", ["softmax(file)", "mlp(file, hidden=5)", "logistic(file)"])
def test_a_site_trains_on_all_that_it_has(site: Site, text: str) -> None:
    task = build(text, site)
    answer = task.gradient(task.initial(), round=0, worker=4)
    assert answer.examples == task.size(4) == 100 and answer.value.shape == (task.dim,)
    assert task.evaluate(task.initial()) == {}  # no test data
    assert task.layout.schema == first_schema(site.data).schema.text  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="worker 0 is outside 4 … 4"):
        task.gradient(task.initial(), round=0, worker=0)


def test_three_workers_of_a_site_share_its_rows(site: Site) -> None:
    task = build("softmax(file, batch=20)", replace(site, workers=(1, 2, 5)))
    assert [task.size(worker) for worker in (1, 2, 5)] == [34, 33, 33]
    assert task.gradient(task.initial(), round=0, worker=5).examples == 20
    assert build("softmax(file, batch=40)", replace(site, workers=(1, 2, 5))).gradient(
        task.initial(), round=0, worker=5).examples == 33  # fmt: skip


def test_a_partition_deals_one_file_to_all_workers_of_the_run(site: Site) -> None:
    parts = [
        build("softmax(file)", replace(site, workers=(k,)), partition=parse_spec("dirichlet(1.0)"))
        for k in range(6)
    ]
    assert sum(part.size(k) for k, part in enumerate(parts)) == 100
    dealt = [part.shards.shard(worker) for worker, part in enumerate(parts)]
    assert sorted(np.concatenate(dealt).tolist()) == list(range(100))


def test_a_partition_deals_the_catalogues_data_sets() -> None:
    task = build_task("softmax(digits)", workers=5, seed=0, partition=parse_spec("shards(1)"))
    assert isinstance(task, SupervisedTask)
    labels = [set(task.data.y_train[task.shards.shard(worker)].tolist()) for worker in range(5)]
    assert max(map(len, labels)) <= 3
    even, plain = (
        build_task("softmax(digits)", workers=5, seed=0, partition=partition)
        for partition in (parse_spec("iid"), None)
    )
    params = even.initial()
    assert np.array_equal(*(t.gradient(params, round=0, worker=2).value for t in (even, plain)))
    least = build_task("least_squares(samples=60, dim=7)", workers=5, seed=0, partition=parse_spec("iid"))
    assert least.size(0) == 12  # type: ignore[attr-defined]
    with pytest.raises(TaskError, match="shards deals by label"):
        build_task("least_squares(samples=60, dim=7)", workers=5, seed=0, partition=parse_spec("shards(1)"))
    with pytest.raises(TaskError, match="synthetic has no data to deal"):
        build_task("synthetic(3)", workers=5, seed=0, partition=parse_spec("iid"))


# ---- test data ---------------------------------------------------------------------------------------------


def test_a_file_of_test_data(site: Site, tmp_path: Path) -> None:
    path = table(tmp_path / "test.csv", 7, seed=1)
    task = build("softmax(file)", replace(site, options={"test": str(path)}))
    assert len(task.data.x_test) == 7 and task.size(4) == 100
    assert set(task.evaluate(task.initial())) == {"test_loss", "accuracy", "test_error"}


def test_held_out_rows_are_not_trained_on(site: Site) -> None:
    task = build("softmax(file)", replace(site, options={"holdout": "0.2"}))
    again = build("softmax(file)", replace(site, options={"holdout": "0.2"}))
    whole = build("softmax(file)", site)
    assert task.size(4) == 80 and len(task.data.x_test) == 20
    np.testing.assert_array_equal(task.data.x_test, again.data.x_test)
    both = np.concatenate([task.data.x_train, task.data.x_test])
    assert sorted(both.tolist()) == sorted(whole.data.x_train.tolist())


@pytest.mark.parametrize("text", ["0", "1", "-0.1", "x", "nan", "0.001", "0.999"])
def test_holdout_must_leave_samples_on_both_sides(site: Site, text: str) -> None:
    with pytest.raises(TaskError, match=f"holdout is {text} of 100 samples"):
        build("softmax(file)", replace(site, options={"holdout": text}))


# ---- without a schema --------------------------------------------------------------------------------------


def test_columns_may_stand_in_the_spec(tmp_path: Path) -> None:
    data = table(tmp_path / "t.csv", 30, classes=("0", "1"))
    kind = parse_task("softmax(file, features=2, classes=3, label=y)")
    assert kind.known_dim == 9 and parse_task("mlp(file, hidden=5)").known_dim is None
    assert parse_task("logistic(file, features=2)").known_dim == 2
    task = build(str(spec_of(kind)), Site(data=data))
    assert task.dim == 9 and [line.split()[0] for line in task.layout.schema.splitlines()] == [
        "feature", "feature", "label", "class", "class", "class",
    ]  # fmt: skip
    assert build("logistic(file, features=2)", Site(data=data)).dim == 2


def test_numbered_features_in_the_spec(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.zeros((4, 2, 3)), target=np.array([0, 1, 1, 0]))
    task = build("softmax(file, features=6, classes=2, label=target)", Site(data=tmp_path / "t.npz"))
    assert task.dim == 14
    (tmp_path / "t.svm").write_text("0 1:1\n1 2:1\n")
    assert build("softmax(file, features=6, classes=2)", Site(data=tmp_path / "t.svm")).dim == 14


def test_specs_of_today_keep_their_spelling() -> None:
    """And so their fingerprints."""
    assert str(spec_of(parse_task("mlp(digits)"))) == "mlp(dataset=digits, hidden=1000, batch=0)"
    assert str(spec_of(parse_task("softmax(digits)"))) == "softmax(dataset=digits, l2=0.0, batch=0)"
    assert str(spec_of(parse_task("logistic(a9a)"))) == "logistic(dataset=a9a, l2=auto, batch=0)"
    text = "softmax(dataset=file, l2=0.0, batch=0, features=30, classes=2, label=y)"
    assert str(spec_of(parse_task("softmax(file, features=30, classes=2, label=y)"))) == text


# ---- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "softmax(digits, features=3)",
            r"softmax: features, classes and label describe.*write softmax\(file, …\)",
        ),
        ("softmax(file, features=-1, classes=2)", "features is -1, expected at least 1"),
        ("mlp(file, classes=1, features=3)", "classes is 1, expected at least 2"),
        ("logistic(file, classes=2)", "logistic has no argument 'classes'"),
    ],
)
def test_specs_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        parse_task(text)


@pytest.mark.parametrize(
    ("text", "change", "says"),
    [
        ("softmax(file)", {"data": None}, r"softmax\(file\) trains on the site's own data: pass --data PATH"),
        ("softmax(file)", {"schema": None}, "needs a schema: pass --schema FILE .*or write"),
        ("softmax(file)", {"options": {"tset": "x"}}, "has no option 'tset': did you mean test?"),
        ("softmax(file)", {"options": {"test": "x", "holdout": "0.1"}}, "are both given"),
        ("softmax(file)", {"device": "cuda:0"}, "is computed by NumPy, and the worker has --device cuda:0"),
        ("softmax(file, features=3)", {}, r"schema.toml has 2 features, the task 3: correct one of them"),
        ("softmax(file, classes=3)", {}, "schema.toml has 2 classes, the task 3"),
        ("softmax(file, label=z)", {}, "has the label 'y', the task 'z'"),
        ("softmax(digits)", {}, r"softmax\(digits\) takes no data of this site, and the worker has --data"),
        ("softmax(digits)", {"data": None}, "the worker has --schema"),
        (
            "softmax(digits)",
            {"data": None, "schema": None, "options": {"test": "x"}},
            "the worker has --option",
        ),
        ("synthetic(3)", {}, "synthetic takes no data"),
        ("least_squares", {}, "least_squares takes no data"),
    ],
)
def test_sites_that_are_refused(site: Site, text: str, change: dict[str, object], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        build_task(text, workers=6, seed=3, site=replace(site, **change))  # type: ignore[arg-type]


def test_files_that_do_not_fit(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 columns besides y, expected 30: is it the right file"):
        build("softmax(file, features=30, classes=2)", replace(site, schema=None))
    table(tmp_path / "other.csv", 9, classes=("no", "perhaps"))
    with pytest.raises(
        DataError, match=r"other.csv, line \d: the label y is 'perhaps', expected one of no, yes"
    ):
        build("softmax(file)", replace(site, data=tmp_path / "other.csv"))
    with pytest.raises(DataError, match=r"none.csv: No such file"):
        build("softmax(file)", replace(site, options={"test": str(tmp_path / "none.csv")}))
    text = (tmp_path / "schema.toml").read_text().replace('["no", "yes"]', '["no", "perhaps", "yes"]')
    (tmp_path / "schema.toml").write_text(text)
    with pytest.raises(TaskError, match=r"schema.toml has 3 classes, the task 2: correct one of them"):
        build("logistic(file)", site)


def test_images_need_a_schema(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "cat").mkdir()
    image.new("L", (2, 2)).save(tmp_path / "cat" / "1.png")
    with pytest.raises(TaskError, match="images need a schema"):
        build("softmax(file, features=4, classes=2)", Site(data=tmp_path))


def test_a_site_with_fewer_rows_than_workers(site: Site, tmp_path: Path) -> None:
    few = table(tmp_path / "few.csv", 2)
    with pytest.raises(TaskError, match="2 samples cannot be dealt to 3 workers"):
        build("softmax(file)", replace(site, data=few, workers=(0, 1, 2)))
