"""Schemas: their files, their canonical text, and the first line that differs between two."""

from dataclasses import replace
from pathlib import Path

import pytest

from gradwire.common.errors import DataError
from gradwire.common.training.layout import Layout
from gradwire.worker.data.own import Schema, read_schema, schema_of, to_toml
from gradwire.worker.data.own.csv import CsvFormat
from gradwire.worker.data.own.images import ImagesFormat
from gradwire.worker.data.own.libsvm import LibsvmFormat
from gradwire.worker.data.own.npz import NpzFormat
from gradwire.worker.data.own.parquet import ParquetFormat

NAMED = schema_of(
    CsvFormat(";"),
    ("mean radius", 'a "b", é'),
    "diagnosis",
    ("B", "1.5", "x y"),
    offsets=(0.5, -1.0),
    scales=(2.0, 1.0),
)
EXAMPLES = [
    NAMED,
    replace(NAMED, format=ParquetFormat(), missing=(0.25, None)),
    schema_of(NpzFormat("pixels"), tuple("1234"), "target", (0, 1, 2), offsets=(0.0, 0.0, 1.0, 1.0), scales=(16.0,)),
    schema_of(LibsvmFormat(), tuple("123"), "", (-1, 1)),
    schema_of(ImagesFormat(2, 2, "L"), tuple("1234"), "", ("cat", "dog"), scales=(255.0,)),
]  # fmt: skip


@pytest.mark.parametrize("schema", EXAMPLES, ids=lambda schema: schema.format.name)
def test_round_trip_of_files(tmp_path: Path, schema: Schema) -> None:
    (tmp_path / "s.toml").write_text(to_toml(schema), encoding="utf-8")
    assert read_schema(tmp_path / "s.toml") == schema


def test_canonical_text() -> None:
    assert NAMED.text.splitlines() == [
        'feature "mean radius" offset 0.5 scale 2.0',
        r'feature "a \"b\", \u00e9" offset -1.0 scale 1.0',
        'label "diagnosis"', 'class 0 "B"', 'class 1 "1.5"', 'class 2 "x y"',
    ]  # fmt: skip
    assert EXAMPLES[2].text.splitlines() == [
        "features 1-2 offset 0.0 scale 16.0", "features 3-4 offset 1.0 scale 16.0",
        'class 0 "0"', 'class 1 "1"', 'class 2 "2"',
    ]  # fmt: skip
    assert EXAMPLES[4].text.splitlines()[0] == "images 2x2 L"


def test_sites_may_keep_their_tables_in_different_formats() -> None:
    assert NAMED.text == replace(NAMED, format=ParquetFormat()).text
    assert replace(NAMED, format=CsvFormat(",")).text == NAMED.text


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (replace(NAMED, scales=(2.0, 3.0)), "scale 1.0' here, 'feature"),
        (
            replace(NAMED, classes=("B", "1.5")),
            """the schema has 'class 2 "x y"' here, 'nothing more' there""",
        ),
        (
            EXAMPLES[1],
            "offset 0.5 scale 2.0' here, 'feature \"mean radius\" offset 0.5 scale 2.0 missing 0.25'",
        ),
        (replace(NAMED, names=("mean", NAMED.names[1])), 'feature "mean radius" offset 0.5 scale 2.0\' here'),
        (replace(NAMED, classes=("1.5", "B", "x y")), """'class 0 "B"' here, 'class 0 "1.5"' there"""),
    ],
)
def test_the_difference_of_two_sites_is_named(other: Schema, says: str) -> None:
    here, there = (Layout.flat(3).with_schema(schema.text) for schema in (NAMED, other))
    assert here.fingerprint != there.fingerprint and says in (here.difference(there) or "")


CSV = 'format = "csv"\nlabel = "y"\nclasses = [0, 1]\nfeatures = [{name = "x"}]\n'
NPZ = 'format = "npz"\nlabel = "y"\nclasses = [0, 1]\nfeatures = 3\n'


def test_scaling_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(NPZ + "scale = 4\n")
    schema = read_schema(tmp_path / "s.toml")
    assert schema.scales == (4.0, 4.0, 4.0) and schema.offsets == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("format = ", "is not TOML"),
        ('label = "y"', "format is missing"),
        (CSV.replace('"csv"', '"cvs"'), "unknown format 'cvs': did you mean csv"),
        (CSV.replace("label", "lable"), "unknown key 'lable': did you mean label"),
        (CSV + "offset = 1\n", "unknown key 'offset'"),
        (CSV.replace("[0, 1]", "[0]"), "the schema has 1 classes, expected at least 2"),
        (CSV.replace("[0, 1]", "[1, 1.0]"), "names the class 1 twice"),
        (CSV.replace("[0, 1]", '"01"'), "classes is '01', expected a list"),
        (CSV.replace("[0, 1]", "[[0], 1]"), r"a class is '\[0\]', expected text or a number or a boolean"),
        (CSV.replace('{name = "x"}', "1"), "a feature is '1', expected a table"),
        (CSV.replace('name = "x"', 'name = "x", mean = 1'), "a feature has the unknown key 'mean'"),
        (CSV.replace('name = "x"', 'nam = "x"'), "unknown key 'nam': did you mean name"),
        (CSV.replace('name = "x"', 'name = "x", scale = 0'), "has offset 0.0 and scale 0.0 for x"),
        (CSV.replace('name = "x"', 'name = "x", scale = nan'), "scale nan for x"),
        (CSV.replace('name = "x"', 'name = "x", scale = "2"'), "scale is '2', expected a number"),
        (CSV.replace('name = "x"', 'name = "y"'), "names y as a feature and as the label"),
        (CSV.replace('{name = "x"}', ""), "the schema has no features"),
        (CSV.replace('{name = "x"}', '{name = "x"}, {name = "x"}'), "names the feature x twice"),
        (CSV + 'separator = "|"\n', "the separator is '|', expected a comma"),
        (NPZ.replace("3", "true"), "features is 'True', expected a number"),
        (NPZ.replace("3", "0"), "there are 0 features, expected 1 to 100000"),
        (NPZ + "scale = [1, 2]\n", "the schema has 2 scales for 3 features"),
        (NPZ + "width = 3\n", "unknown key 'width'"),
        ('format = "images"\nclasses = ["a", "b"]\nmode = "CMYK"\n', "images are 28 by 28 CMYK, expected"),
    ],
)  # fmt: skip
def test_schema_that_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(DataError, match=says.replace("|", r"\|")) as caught:
        read_schema(tmp_path / "s.toml")
    assert "s.toml" in str(caught.value)


def test_missing_schema(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the schema .*none.toml: No such file"):
        read_schema(tmp_path / "none.toml")
