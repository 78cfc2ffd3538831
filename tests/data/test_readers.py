"""Files and objects in memory become columns, or a sentence that says what to do."""

import gc
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl.data.readers import numbers, read_columns
from vfl.errors import DataError, MissingExtraError

SECRET = "771.3331"  # stands in a cell of every bad file; no error may show it


def bad_csv(tmp_path, text):
    """The error that a file of this text gives; every such error names the party and the file."""
    path = tmp_path / "bank.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_columns(path, party="bank")
    message = str(caught.value)
    assert message.startswith("bank: ") and "bank.csv" in message
    assert SECRET not in message
    chained = caught.value.__context__ or caught.value.__cause__
    assert SECRET not in repr(chained) and SECRET not in repr(getattr(chained, "object", ""))
    return message


def test_a_csv_file_gives_its_columns_in_order(tmp_path):
    path = tmp_path / "bank.csv"
    path.write_text('id, age ,"name, given"\n1,30,"a ""b"""\n2,31,"c,d"\n')
    raw = read_columns(path, party="bank")
    assert list(raw.cells) == ["id", "age", "name, given"]
    assert list(raw.cells["name, given"]) == ['a "b"', "c,d"]
    assert raw.source == str(path) and raw.where == f"bank: {path}"


def test_a_byte_order_mark_and_any_line_ending_change_nothing(tmp_path):
    plain = "id,x\n1,2\n3,4\n"
    for k, text in enumerate([plain, plain.replace("\n", "\r\n"), plain.replace("\n", "\r")]):
        for bom in (b"", b"\xef\xbb\xbf"):
            path = tmp_path / f"{k}{len(bom)}.csv"
            path.write_bytes(bom + text.encode())
            cells = read_columns(path, party="p").cells
            assert {name: list(column) for name, column in cells.items()} == {
                "id": ["1", "3"],
                "x": ["2", "4"],
            }


def test_row_numbers_are_the_lines_of_an_editor(tmp_path):
    """Also after blank lines and after a field that spans lines."""
    path = tmp_path / "f.csv"
    path.write_text('id,note\n1,a\n\n2,"two\nlines"\n3,b\n')
    raw = read_columns(path, party="p")
    lines = path.read_text().split("\n")
    for index, start in enumerate(("1,a", '2,"two', "3,b")):
        assert lines[raw.row_numbers[index] - 1] == start
    assert len(raw.row_numbers) == 3


def test_rows_in_memory_count_from_one():
    assert read_columns({"id": [5, 6]}, party="p").row_numbers == range(1, 3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"bank: .*no\.csv does not exist; check data:"):
        read_columns(tmp_path / "no.csv", party="bank")


def test_a_directory_is_refused(tmp_path):
    folder = tmp_path / "d.csv"
    folder.mkdir()
    with pytest.raises(DataError, match=r"bank: .*d\.csv is a directory; name the file in it"):
        read_columns(folder, party="bank")


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    path = tmp_path / "t.xlsx"
    path.write_text("x")
    with pytest.raises(DataError, match=r"bank: .*t\.xlsx .* use \.csv, \.parquet, \.arrow, \.fea"):
        read_columns(path, party="bank")


def test_an_object_of_another_kind_is_refused_by_type():
    with pytest.raises(DataError, match=r"bank: data of type int .*DataFrame"):
        read_columns(7, party="bank")


@pytest.mark.parametrize("text", ["", "\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n"])
def test_an_empty_file_is_refused(tmp_path, text):
    assert "is empty; it needs a header" in bad_csv(tmp_path, text)


def test_a_header_without_rows_is_refused(tmp_path):
    assert "has no rows" in bad_csv(tmp_path, "id,x\n")


def test_a_ragged_row_is_named(tmp_path):
    message = bad_csv(tmp_path, f"id,x,y\n1,2,3\n\n2,{SECRET}\n")
    assert "row 4 of" in message and "2 fields and the header 3" in message


def test_another_encoding_is_refused_with_its_row(tmp_path):
    message = bad_csv(tmp_path, f"id,x\n1,{SECRET}\n2,Zoë\n".encode("latin-1"))
    assert "not UTF-8 text (row 3); save it as UTF-8" in message
    assert "not UTF-8" in bad_csv(tmp_path, f"id,x\n1,{SECRET}\n".encode("utf-16"))


def test_an_unclosed_quote_is_refused(tmp_path):
    message = bad_csv(tmp_path, f'id,x\n0,0\n1,"{SECRET}\n2,3\n4,5\n')
    assert "not well-formed CSV (row 3: unexpected end of data)" in message and "quote" in message


def test_two_columns_of_one_name_are_refused(tmp_path):
    message = bad_csv(tmp_path, f"id,x, x\n1,{SECRET},3\n")
    assert "two columns called 'x' (the second is column 3); rename one" in message


def test_a_column_without_a_name_is_refused(tmp_path):
    message = bad_csv(tmp_path, f"id,,x\n1,{SECRET},3\n")
    assert "column 2 of" in message and "write one into the header" in message


def test_a_file_without_a_header_is_refused_before_a_row_is_listed_as_names(tmp_path):
    message = bad_csv(tmp_path, f"17,{SECRET},0\n18,2,1\n")
    assert "row 1 of" in message and "(field 2 is a number); write a header" in message


def test_other_separators_are_refused(tmp_path):
    for mark in ";\t|":
        assert "has no comma" in bad_csv(tmp_path, f"id{mark}x\n1{mark}{SECRET}\n")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path, monkeypatch):
    def refuse(_self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    (tmp_path / "bank.csv").touch()
    with pytest.raises(DataError, match=r"bank: .*cannot be read \(Permission denied\); check"):
        read_columns(tmp_path / "bank.csv", party="bank")


@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather"])
def test_damaged_arrow_files_are_refused(tmp_path, ending):
    path = tmp_path / f"bank.{ending}"
    path.write_bytes(b"id,x\n1," + SECRET.encode())
    with pytest.raises(DataError, match=rf"bank: .*bank\.{ending} is not a \.{ending} file") as e:
        read_columns(path, party="bank")
    assert SECRET not in str(e.value)


def test_arrow_files_without_pyarrow_name_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "bank.parquet"
    path.write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"bank: .*bank\.parquet .*'vfl\[arrow\]'"):
        read_columns(path, party="bank")


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(DataError, match=r"bank: the columns of the dict .* 1 and 2 rows"):
        read_columns({"id": [1, 2], "x": [1]}, party="bank")


def test_whole_number_ids_beside_a_null_stay_whole():
    raw = read_columns(pa.table({"id": [1, None, 2**60 + 1]}), party="p")
    assert raw.cells["id"] == [1, None, 2**60 + 1]


def same(values, expected):
    np.testing.assert_array_equal(values, np.asarray(expected, dtype=np.float64))


@pytest.mark.parametrize(
    "cells",
    [
        ("1", " 2.5 ", "", "-3e2"),
        ["1", "2.5", "NA", "-300"],
        ["1", "2.5", "N/A", "-300"],
        ["1", "2.5", "NaN", "-300"],
        ["1", "2.5", "null", "-300"],
        [1, 2.5, None, -300],
        np.array([1, 2.5, np.nan, -300], dtype=np.float32),
        np.array([1, 2.5, None, -300], dtype=object),
        pd.Series([1, 2.5, None, -300], dtype="Float64"),
        pd.Series([1, 2.5, pd.NA, -300], dtype=object),
        pd.Series([1, 2.5, None, -300], dtype="float64"),
    ],
)
def test_every_kind_of_column_gives_the_same_numbers(cells):
    values, bad = numbers(cells)
    assert bad is None and values.dtype == np.float64
    same(values, [1, 2.5, np.nan, -300])


def test_truth_values_count_as_zero_and_one():
    for cells in (np.array([True, False]), pd.Series([True, False], dtype="boolean")):
        same(numbers(cells)[0], [1, 0])


@pytest.mark.parametrize(
    ("cells", "bad"),
    [
        (["1", "", "two", "3"], 2),
        (["1", "1_000"], 1),  # Python reads it, a spreadsheet does not
        (["1,5"], 0),
        ([1, b"2"], 1),
        ([1.0, 10**400], 1),
        ([1, [2]], 1),
        (np.array(["2020-01-01"], dtype="datetime64[ns]"), 0),
        (pd.Series(pd.to_datetime(["2020-01-01"])), 0),
        (np.array([1 + 2j]), 0),
        (pd.Series(["a", "b"]), 0),
    ],
)
def test_the_first_cell_that_is_no_number_is_found(cells, bad):
    assert numbers(cells)[1] == bad


@given(st.lists(st.floats(allow_nan=False)))
def test_text_gives_back_every_float_bit_for_bit(floats):
    same(numbers([repr(x) for x in floats])[0], floats)


def test_reading_leaves_no_text_of_a_file_in_an_error(tmp_path):
    """The decoder's own error carries the whole file; ours must not keep it alive."""
    path = tmp_path / "bank.csv"
    path.write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(DataError) as caught:
        read_columns(path, party="bank")
    gc.collect()
    assert caught.value.__context__ is None and caught.value.__cause__ is None
