"""CSV of a site: read as it stands, and refused with file, line, column and value."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.errors import DataError
from gradwire.worker.data.own import first_schema, format_of, read_table, schema_of
from gradwire.worker.data.own.csv import DECIMAL_COMMA, CsvFormat

PLAIN = "age,size,kind\n1,2.5,a\n-3,4e1,b\n5,6,a\n"
SCHEMA = schema_of(CsvFormat(), ("age", "size"), "kind", ("a", "b"))


def file(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_plain_table(tmp_path: Path) -> None:
    x, y = read_table(file(tmp_path, PLAIN), SCHEMA)
    assert x.dtype == np.float32 and x.flags.c_contiguous and y.dtype == np.int64
    assert x.tolist() == [[1, 2.5], [-3, 40], [5, 6]] and y.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "kind,size,id,age\na,2.5,p-1,1\nb,4e1,p-2,-3\na,6,p-3,5\n",  # other order, a column that is not used
        'age,size,kind\r\n1,2.5,a\r\n\r\n-3,"4e1"," b "\r\n5,6,a',  # other line ends, blank lines, quotes, spaces
        "\ufeffage,size,kind\n1,2.5,a\n-3,40,b\n5,6,a\n",  # the mark that some programs put first
        '"age","size","kind"\n1,2.5,"a"\n-3,40,"b"\n5,6,"a"\n',
        'age,size,note,kind\n1,2.5,"a, b\n c",a\n-3,40,,b\n5,6,"say ""no""",a\n',  # a cell over two lines
    ],
)
def test_other_ways_to_write_it(tmp_path: Path, text: str) -> None:
    x, y = read_table(file(tmp_path, text), SCHEMA)
    assert x.tolist() == [[1, 2.5], [-3, 40], [5, 6]] and y.tolist() == [0, 1, 0]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(tmp_path: Path, separator: str) -> None:
    path = file(tmp_path, PLAIN.replace(",", separator))
    for format in (CsvFormat(), CsvFormat(separator)):
        schema = schema_of(format, ("age", "size"), "kind", ("a", "b"))
        assert read_table(path, schema)[0].tolist() == [[1, 2.5], [-3, 40], [5, 6]]
    assert first_schema(path).schema.names == ("age", "size")
    comma = schema_of(CsvFormat(","), ("age", "size"), "kind", ("a", "b"))
    with pytest.raises(DataError, match=re.escape(f"is separated by {separator!r}, the schema says ','")):
        read_table(path, comma)


def test_separators_inside_cells_and_names(tmp_path: Path) -> None:
    """The header line is separated by what gives the schema's columns, not by what is most frequent."""
    path = file(tmp_path, 'a,b,c,d,e;age;size;kind\n"x;y";1;2.5;a\n')
    assert read_table(path, SCHEMA)[0].tolist() == [[1, 2.5]]


cells = st.floats(-(2.0**99), 2.0**99, width=32)
texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@given(st.lists(st.tuples(cells, cells, texts), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("age", "size", "kind"), *rows])
    table = CsvFormat().read(path, ("age", "size"), "kind")
    np.testing.assert_array_equal(table.features, np.array([row[:2] for row in rows], np.float32))
    assert [table.values[code] for code in table.codes] == [row[2] for row in rows]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "t.csv is empty, expected data"),
        ("age,size,kind\n", "t.csv has a header line and no rows"),
        ("age,size,kind\n\n\n", "has a header line and no rows"),
        ("age,kind\n1,a\n", "t.csv has no column 'size'; known: age, kind"),
        ("age,sise,kind\n1,2,a\n", "t.csv has no column 'size': did you mean sise?"),
        ("age,age,kind\n1,2,a\n", "line 1: two columns are called age; rename one"),
        ("age,,kind\n1,2,a\n", "line 1: expected a header line with the name of each column"),
        ("age,size,kind\n1,2,a\n3,,b\n", "t.csv, line 3: size is empty, expected a number; correct or remove the line, "
         "or give the feature a value `missing` in the schema"),
        ("age,size,kind\n\n1,2,a\n3,x7,b\n", "t.csv, line 4: size is 'x7', expected a number"),
        ("age,size,kind\n1,2,a\n3,nan,b\n", "t.csv, line 3: size is nan, expected a number; correct or"),
        ("age,size,kind\n1,-inf,a\n", "line 2: size is -inf, expected a finite"),
        ("age,size,kind\n1,1e39,a\n", "line 2: size is 1e39, expected a finite"),
        ("age,size,kind\n1,1_0,a\n", "line 2: size is '1_0', expected a number"),
        ("age,size,kind\n1,2,a\n3,4,b,5\n", "t.csv, line 3: 4 columns, expected 3 as in the header line"),
        ("age,size,kind\n1,2,a\n3,4\n", "line 3: 2 columns, expected 3"),
        ("age,size,kind\n1,2,a\n3,4,\n", "line 3: kind is empty"),
        ("age,size,kind\n1,2,a\n\n3,4,c\n",
         "t.csv, line 4: the label kind is 'c', expected one of a, b; correct the row, or the classes"),
        (b"age,size,kind\n1,2,\xe9\n", "t.csv is not UTF-8 text: save it as UTF-8"),
        (b"\xff\xfea\x00g\x00e\x00", "t.csv is a binary file, expected text (csv): is it the right file?"),
        (b"PK\x03\x04abcd", "t.csv is a ZIP archive, expected text (csv)"),
        (b"PAR1abcd", "t.csv is a Parquet file, expected text"),
        (b"\x1f\x8babcd", "t.csv is a gzip file, expected text"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(file(tmp_path, text), SCHEMA)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none.csv: No such file"):
        read_table(tmp_path / "none.csv", SCHEMA)
    with pytest.raises(DataError, match="is a folder, expected text"):
        read_table(tmp_path, SCHEMA)


def test_scaling_and_a_class_that_a_site_lacks(tmp_path: Path) -> None:
    schema = schema_of(
        CsvFormat(), ("size", "age"), "kind", ("z", "b", "a"), offsets=(0.5, 1.0), scales=(2.0, 4.0)
    )
    x, y = read_table(file(tmp_path, PLAIN), schema)
    assert x.tolist() == [[1, 0], [19.75, -1], [2.75, 1]] and y.tolist() == [2, 1, 2]


def test_numeric_labels_in_any_spelling(tmp_path: Path) -> None:
    schema = schema_of(CsvFormat(), ("x",), "y", (0, 1.5, "-2"))
    _, y = read_table(file(tmp_path, "x,y\n1,0\n1,0.0\n1,+1.50\n1,-2e0\n"), schema)
    assert y.tolist() == [0, 0, 1, 2]


def test_missing_values_where_the_schema_has_one_for_them(tmp_path: Path) -> None:
    schema = schema_of(
        CsvFormat(), ("age", "size"), "kind", ("a", "b"), offsets=(1.0,), scales=(2.0,), missing=(None, 7.0)
    )
    x, y = read_table(file(tmp_path, "size,kind,age\n,a,1\nNA,b,2\n NaN ,a,3\n5,b,5\n"), schema)
    assert x.tolist() == [[0, 3], [0.5, 3], [1, 3], [2, 2]] and y.tolist() == [0, 1, 0, 1]
    for row, says in {
        ",a,1\n5,b,\n": "line 3: age is empty, expected a number",
        ",a,1\n1_0,b,2\n": "line 3: size is '1_0', expected a number",
        ",a,1\n1e39,b,2\n": "line 3: size is 1e39, expected a finite number",
        ",,1\n": "line 2: kind is empty",
    }.items():
        with pytest.raises(DataError, match=says):
            read_table(file(tmp_path, f"size,kind,age\n{row}"), schema)


# ---- a first schema ----------------------------------------------------------------------------------------


def test_first_schema_of_a_file(tmp_path: Path) -> None:
    text = "id,age,size,kind,same\np1,1,2,b,7\np2,3,2.5,10,7\np3,5,6,9,7\n"
    found = first_schema(file(tmp_path, text), "kind")
    schema, left_out = found.schema, found.left_out
    assert schema.names == ("age", "size", "same") and schema.label == "kind"
    assert left_out == {"id": "not numbers"} and found.like_ids == ()
    assert schema.classes == ("9", "10", "b")  # numbers by value, then texts
    assert schema.offsets == (3, 3.5, 7) and schema.scales == pytest.approx((1.63299, 1.77951, 1))
    x, _ = read_table(tmp_path / "t.csv", schema)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)


def test_a_first_schema_names_what_looks_like_an_id(tmp_path: Path) -> None:
    rows = "".join(f"{7 * k},{3_000_000_000 + k},{k % 9},{k / 4},{'ab'[k % 2]}\n" for k in range(20))
    found = first_schema(file(tmp_path, f"id,insurance,age,size,kind\n{rows}"))
    assert found.like_ids == ("id", "insurance") and found.schema.names == ("id", "insurance", "age", "size")


def test_a_first_schema_puts_the_mean_where_a_value_is_missing(tmp_path: Path) -> None:
    path = file(tmp_path, "age,size,kind\n1,,a\n2,4,b\n3,8,a\n,6,b\n")
    schema = first_schema(path).schema
    assert schema.missing == (2.0, 6.0) and schema.gaps == {"age", "size"}
    x, _ = read_table(path, schema)
    assert x[0, 1] == x[3, 0] == 0 and x.mean(axis=0).tolist() == [0, 0]


def test_a_decimal_comma_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, "age;size;ward;kind\n1;2,5;x;a\n3;4,5;y;b\n")
    assert first_schema(path).left_out == {"size": DECIMAL_COMMA, "ward": "not numbers"}
    with pytest.raises(
        DataError, match="line 2: size is '2,5', expected a number with a decimal point; correct"
    ):
        read_table(path, SCHEMA)


def test_first_schema_takes_the_last_column_for_the_label(tmp_path: Path) -> None:
    schema = first_schema(file(tmp_path, PLAIN)).schema
    assert schema.label == "kind" and schema.classes == ("a", "b")


@pytest.mark.parametrize(
    ("text", "label", "says"),
    [
        ("x,y\na,b\nc,d\n", "", "has no column of numbers besides y"),
        (PLAIN, "kinds", "has no column 'kinds': did you mean kind?"),
        ("x,y\n1,2\n?,3\n4,5\n", "", r"line 3: x is '\?', expected a number; correct"),
        ("x,y\n1,2\n3,\n4,5\n", "", "line 3: y is empty; correct or remove the line"),
        ("x,y\n,2\nNA,3\n", "", "no column of numbers besides y"),
        ("x,y\n1,2\n", "", "the same value in all rows, expected at least 2 classes"),
        ("x,y\n" + "".join(f"1,{k}\n" for k in range(1001)), "",
         "y has 1001 different values, expected at most 1000 classes: name the label's column with --label"),
    ],
)  # fmt: skip
def test_no_first_schema(tmp_path: Path, text: str, label: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        first_schema(file(tmp_path, text), label)


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t.dat: cannot tell its format by its ending, expected one of .csv"):
        format_of(file(tmp_path, PLAIN, "t.dat"))
