"""A party's table: one content from any kind of file, and one sentence for each fault."""
# ruff: noqa: PD011  Table.values is ours, not pandas'

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from vfl.data.ids import canonical_id
from vfl.data.pooled import pooled_table
from vfl.data.table import check_binary_label, check_numeric_label, read_table
from vfl.errors import AlignmentError, DataError

SECRET = "771.3331"

ROWS = pd.DataFrame(
    {
        "person": ["a", "b", "c", "d"],
        "age": [30, 41, 52, 63],
        "debt": [0.1, np.nan, -1e-300, 1e17],
        "city": ["x", "y", "z", "w"],
        "default": [0, 1, 0, 1],
    }
)


def every_source(folder, frame):
    """The same rows in all the forms that can be read."""
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet", index=False)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    pa.feather.write_feather(arrow, folder / "t.feather")
    pa.feather.write_feather(arrow, folder / "t.arrow", compression="uncompressed")
    files = [folder / f"t.{ending}" for ending in ("csv", "parquet", "feather", "arrow")]
    return [*files, str(files[0]), frame, arrow, {name: frame[name].to_numpy() for name in frame}]


def read(source, **options):
    options = {"party": "bank", "id": "person", "label": "default", "drop": ["city"]} | options
    return read_table(source, **options)


def fault(tmp_path, text, kind=DataError, **options):
    """The sentence for a CSV of this text; it names party and file and shows no cell."""
    path = tmp_path / "bank.csv"
    path.write_text(text)
    with pytest.raises(kind) as caught:
        read(path, **{"drop": (), **options})
    message = str(caught.value)
    assert message.startswith("bank: ") and "bank.csv" in message
    error = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__context__
    return message


def test_every_kind_of_source_gives_the_same_table(tmp_path):
    for source in every_source(tmp_path, ROWS):
        table = read(source)
        assert table.ids == tuple(canonical_id(c) for c in "abcd")
        assert table.names == ("age", "debt") and table.label_name == "default"
        assert table.values.dtype == np.float64 and table.values.flags.c_contiguous
        np.testing.assert_array_equal(table.values, ROWS[["age", "debt"]].to_numpy(np.float64))
        np.testing.assert_array_equal(table.label, [0, 1, 0, 1])
        assert table.digest == read(ROWS).digest


def test_whole_number_ids_are_the_same_from_text_and_from_integers(tmp_path):
    frame = ROWS.assign(person=[1, 20, 300, 4000])
    ids = {read(source).ids for source in every_source(tmp_path, frame)}
    assert ids == {(b"1", b"20", b"300", b"4000")}


def test_columns_are_taken_in_the_order_asked_for():
    assert read(ROWS, columns=["debt", "age"]).names == ("debt", "age")
    np.testing.assert_array_equal(read(ROWS, columns=["age"], drop=()).values[:, 0], ROWS["age"])


def test_a_later_file_may_lack_what_was_dropped():
    table = read(ROWS.drop(columns=["city", "default"]), columns=["debt", "age"], label=None)
    assert table.names == ("debt", "age") and table.label is None


def test_a_party_with_a_label_may_have_no_features():
    assert read(ROWS, columns=[]).values.shape == (4, 0)


def test_take_gives_the_rows_in_the_order_asked_for():
    table = read(ROWS)
    some = table.take([2, 0])
    assert some.ids == (table.ids[2], table.ids[0])
    np.testing.assert_array_equal(some.values, table.values[[2, 0]])
    np.testing.assert_array_equal(some.label, table.label[[2, 0]])
    assert some.values.flags.c_contiguous
    assert table.take([0, 1, 2, 3]).digest == table.digest != some.digest
    assert read(ROWS, label=None, drop=["city", "default"]).take([1]).label is None


def test_the_digest_sees_every_change_of_content_and_no_other():
    base = read(ROWS)
    changed = [
        read(ROWS.assign(age=[30, 41, 52, 64])),
        read(ROWS.assign(debt=[0.1, np.nan, -1e-300, np.nextafter(1e17, 0)])),
        read(ROWS.assign(person=["a", "b", "c", "e"])),
        read(ROWS.assign(person=["a", "b", "cd", "d"])),
        read(ROWS.assign(default=[0, 1, 1, 1])),
        read(ROWS.rename(columns={"age": "years"})),
        read(ROWS.iloc[[1, 0, 2, 3]]),
        read(ROWS, columns=["debt", "age"]),
        read(ROWS, label=None, drop=["city", "default"]),
        read(ROWS.rename(columns={"default": "late"}), label="late"),
        read(ROWS, drop=(), categorical="text"),
        read(ROWS.assign(city=["x", "y", "z", "v"]), drop=(), categorical="text"),
        read(ROWS.assign(city=["y", "x", "z", "w"]), drop=(), categorical="text"),
        read(ROWS, categorical=["age"]),
    ]
    assert len({base.digest, *(table.digest for table in changed)}) == 1 + len(changed)
    nan = np.array([0x7FF8000000000123], dtype=np.uint64).view(np.float64)[0]
    assert read(ROWS.assign(debt=[0.1, nan, -1e-300, 1e17])).digest == base.digest
    assert read(ROWS, party="other").digest == base.digest


def test_a_table_cannot_be_changed_and_prints_no_row():
    table = read(ROWS.assign(debt=float(SECRET)))
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        table.label[0] = 1
    assert repr(table) == "Table(bank: 4 rows, 2 columns, label 'default', from the DataFrame)"


def test_a_missing_id_column_lists_those_there_are(tmp_path):
    message = fault(tmp_path, f"age,default\n{SECRET},1\n")
    assert "has no id column 'person'; set id: to one of: age, default" in message
    wide = ",".join(f"c{k}" for k in range(30)) + "\n" + ",".join(["1"] * 30)
    assert "c19 and 10 more" in fault(tmp_path, wide)


def test_a_missing_label_column_lists_those_there_are(tmp_path):
    message = fault(tmp_path, f"person,age\na,{SECRET}\n")
    assert "has no label column 'default'; set label: to one of: person, age" in message


def test_the_id_cannot_be_the_label(tmp_path):
    message = fault(tmp_path, "person,age\n1,2\n", label="person")
    assert "column 'person' cannot be both id and label" in message


def test_a_column_of_text_is_named_with_its_row_and_three_ways_out(tmp_path):
    message = fault(tmp_path, f"person,city,default\na,1,0\nb,x{SECRET},1\n")
    assert message == (
        f"bank: column 'city' of {tmp_path / 'bank.csv'} is not numeric (row 3); leave it out with "
        "drop: [city], name the ones to use in columns:, or set encode: one_hot"
    )


def test_text_becomes_places_among_its_levels(tmp_path):
    frame = ROWS.assign(city=["y", "x", None, "y"])
    for source in every_source(tmp_path, frame):
        table = read(source, drop=(), categorical="text")
        assert table.names == ("age", "debt", "city") and table.levels == {"city": ("x", "y")}
        np.testing.assert_array_equal(table.values[:, 2], [1, 0, np.nan, 1])
        assert table.digest == read(frame, drop=(), categorical="text").digest
        assert table.take([1]).levels == table.levels


def test_whole_numbers_are_categories_where_they_are_named():
    table = read(ROWS, categorical=["age"])
    assert table.levels == {"age": ("30", "41", "52", "63")}
    np.testing.assert_array_equal(table.values[:, 0], [0, 1, 2, 3])


def test_text_among_numbers_is_a_fault_unless_the_column_is_named(tmp_path):
    text = f"person,age,default\na,30,0\nb,x{SECRET},1\n"
    message = fault(tmp_path, text, categorical="text")
    assert "'age'" in message and "is not numeric (row 3)" in message
    assert message.endswith("or set encode: {columns: [age]}")
    table = read(tmp_path / "bank.csv", drop=(), categorical=["age"])
    assert table.levels == {"age": ("30", f"x{SECRET}")}


def test_what_cannot_be_a_category_is_named_with_its_row():
    with pytest.raises(DataError) as caught:
        read({"person": ["a", "b"], "age": [1.0, float(SECRET)]}, label=None, drop=(),
             categorical=["age"])  # fmt: skip
    message = str(caught.value)
    assert message.startswith("bank: column 'age' of the dict cannot be read as categories (row 2)")
    assert SECRET not in message


def test_a_column_to_encode_must_be_a_feature(tmp_path):
    text = f"person,age,default\na,{SECRET},0\n"
    for name in ("city", "default", "person"):
        message = fault(tmp_path, text, categorical=[name])
        assert f"no feature column '{name}', which encode: names; the features are: age" in message


def test_a_label_of_text_is_to_be_coded(tmp_path):
    message = fault(tmp_path, f"person,age,default\na,1,yes{SECRET}\n")
    assert "column 'default'" in message and "(row 2); a label must be a number" in message


def test_an_infinite_cell_is_named(tmp_path):
    message = fault(tmp_path, f"person,age,default\na,{SECRET},0\nb,inf,1\nc,-1e999,1\n")
    assert "column 'age'" in message and "infinite in 2 rows (first: row 3)" in message
    assert "impute: mean, or drop: [age]" in message
    message = fault(tmp_path, "person,age,default\na,1,inf\n")
    assert "column 'default'" in message and "(first: row 2); correct or remove" in message


def test_a_missing_label_is_named(tmp_path):
    message = fault(tmp_path, f"person,age,default\na,{SECRET},0\nb,1,\nc,2,nan\n")
    assert "label 'default'" in message and "in 2 rows (first: row 3); fill in" in message


def test_requested_columns_must_exist(tmp_path):
    for option in ("columns", "drop"):
        message = fault(tmp_path, f"person,age,default\na,{SECRET},0\n", **{option: ["agee"]})
        assert f"has no column 'agee', which {option}: names; it has: person, age" in message


@pytest.mark.parametrize("columns", [["person"], ["default"], ["age", "age"], ["debt"]])
def test_columns_that_contradict_are_refused(tmp_path, columns):
    text = f"person,age,debt,default\na,{SECRET},2,0\n"
    message = fault(tmp_path, text, columns=columns, drop=["debt"])
    assert f"columns: names '{columns[-1]}'" in message and "take it off the list" in message


def test_a_passive_party_needs_a_feature(tmp_path):
    message = fault(tmp_path, f"person,age\na,{SECRET}\n", label=None, drop=["age"])
    assert "no feature column left besides the id 'person'" in message and "drop:" in message


def test_an_empty_id_is_named_with_its_row(tmp_path):
    message = fault(tmp_path, f"person,age,default\na,1,0\n\n,{SECRET},1\n")
    assert "id column 'person'" in message and "(row 4): the id is empty; give every" in message


def test_repeated_ids_are_refused(tmp_path):
    text = f"person,age,default\n{SECRET},1,0\n{SECRET},1,0\n"
    assert "1 of 2 ids occur more than once" in fault(tmp_path, text, AlignmentError)


def test_faults_have_the_exit_code_of_data():
    assert DataError.exit_code == 3


WHERE = {"party": "bank", "source": "bank.csv", "name": "default"}


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (1, 2), (-7.5, 3e8)])
def test_two_classes_become_signs_and_the_larger_is_positive(low, high):
    y = np.array([high, low, low, high], dtype=np.float64)
    signs, (negative, positive) = check_binary_label(y, **WHERE)
    np.testing.assert_array_equal(signs, [1, -1, -1, 1])
    assert signs.dtype == np.float64 and (negative, positive) == (low, high)
    np.testing.assert_array_equal(np.where(signs > 0, positive, negative), y)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([float(SECRET)] * 3, "all rows have the same among 3 rows"),
        ([0, 1, 2, float(SECRET)], "it has 4 different among 4 rows"),
        ([], "it has 0 different among 0 rows"),
    ],
)
def test_one_class_or_many_are_refused_with_the_count(y, said):
    with pytest.raises(DataError) as caught:
        check_binary_label(np.array(y, dtype=np.float64), **WHERE)
    message = str(caught.value)
    assert message.startswith("bank: label 'default' of bank.csv") and said in message
    assert ("linear_regression" in message) == (
        said.startswith("it has 4")
    ) and SECRET not in message


def test_a_numeric_label_must_vary_and_be_finite():
    check_numeric_label(np.array([1.0, 2.0]), **WHERE)
    for y, said in [
        ([1.0, np.nan, np.inf], r"missing or infinite in 2 of 3 rows; fill in"),
        ([4.0, 4.0], r"constant over 2 rows"),
        ([], r"constant over 0 rows"),
    ]:
        with pytest.raises(DataError, match=rf"bank: label 'default' of bank\.csv .*{said}"):
            check_numeric_label(np.array(y), **WHERE)


def test_pooling_is_the_inner_join_of_pandas():
    other = pd.DataFrame({"key": ["d", "e", "a", "b"], "calls": [4.0, 5.0, 1.0, 2.0]})
    X, y, names = pooled_table([read(ROWS), read_table(other, party="telecom", id="key")])
    joined = ROWS.merge(other, left_on="person", right_on="key").sort_values("person")
    np.testing.assert_array_equal(X, joined[["age", "debt", "calls"]].to_numpy(np.float64))
    np.testing.assert_array_equal(y, joined["default"])
    assert names == ("bank.age", "bank.debt", "telecom.calls")


def test_pooling_needs_one_label_and_some_common_ids():
    telecom = read_table({"key": ["zz"], "calls": [4.0]}, party="telecom", id="key")
    with pytest.raises(DataError, match="bank, telecom have no id in common"):
        pooled_table([read(ROWS), telecom])
    with pytest.raises(DataError, match="0 of the 1 tables to pool hold a label"):
        pooled_table([telecom])
    with pytest.raises(DataError, match="2 of the 2 tables"):
        pooled_table([read(ROWS), read(ROWS)])
