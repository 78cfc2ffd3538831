"""One party's table: who is in it, its columns, and the label where the party holds it.

Everything a party reads passes here once and is checked once, so that a bad cell is a sentence
with a file, a column and a row before training starts, and not a NaN during it. Sentences name no
cell: an error travels to other parties, a value must not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vfl.data.categories import coded, is_text
from vfl.data.ids import canonical_ids, refuse_repeated
from vfl.data.readers import Columns, numbers, read_columns
from vfl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows of one party, read-only.

    ids: n canonical ids, each once. names: f column names. values: float64 (n, f) C-contiguous,
    NaN for missing, never infinite. label: float64 (n,), finite, or None for a passive party.
    levels: for each column of categories its level names, sorted; the column in `values` then holds
    places in them. classes: the same for a label of classes. weight: float64 (n,), finite and not
    negative, where the party has a column of row weights.
    """

    party: str
    source: str
    ids: tuple[bytes, ...]
    names: tuple[str, ...]
    values: NDArray[np.float64]
    label: NDArray[np.float64] | None = None
    label_name: str | None = None
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    weight: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self.values.setflags(write=False)  # the digest is computed once
        for array in (self.label, self.weight):
            if array is not None:
                array.setflags(write=False)

    def __repr__(self) -> str:
        label = "" if self.label_name is None else f", label '{self.label_name}'"
        return (
            f"Table({self.party}: {len(self.ids)} rows, {len(self.names)} columns{label}, "
            f"from {self.source})"
        )

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Table:
        """The rows with these indices, in this order."""
        index = np.asarray(rows, dtype=np.intp)
        return Table(
            self.party,
            self.source,
            tuple(self.ids[i] for i in index),
            self.names,
            np.ascontiguousarray(self.values[index]),
            None if self.label is None else self.label[index],
            self.label_name,
            self.levels,
            self.classes,
            None if self.weight is None else self.weight[index],
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of all content: a resumed job refuses a changed file.

        The same content from CSV and from Parquet has the same digest; party and file name do not
        count. Private to the party: it would confirm a guess of the whole table.
        """
        state = hashlib.sha256(b"vfl.data.table/1")

        def add(part: bytes) -> None:  # length first, so that no two contents run together
            state.update(len(part).to_bytes(8, "little"))
            state.update(part)

        add(b"".join(len(i).to_bytes(4, "little") + i for i in self.ids))
        add("\0".join(self.names).encode())
        add((self.label_name or "").encode())
        for name, levels in [*self.levels.items(), *([("", self.classes)] if self.classes else [])]:
            for part in (name, str(len(levels)), *levels):
                add(part.encode())
        for array in (self.values, self.label, self.weight):
            if array is not None:
                one_nan = np.where(np.isnan(array), np.nan, array)  # NaN has many bit patterns
                add(one_nan.astype("<f8").tobytes())
        return state.hexdigest()


def read_table(
    source: Any,
    *,
    party: str,
    id: str,  # noqa: A002  the job file's word
    label: str | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    categorical: Sequence[str] | Literal["text"] = (),
    weight: str | None = None,
    classes: bool = False,
) -> Table:
    """Read and check a party's data.

    source: a path to .csv, .parquet, .arrow or .feather, or a pandas DataFrame, a pyarrow Table
    or a dict of arrays. The features are `columns` in that order, or else every column but the
    id, the label, the `weight` and those in `drop`, in the order of the file. A party with a label
    may have no features. `categorical` are the features to read as categories, or "text": those
    that hold text and no number. A label of `classes` may be text too.

    Raises `DataError` (a source that cannot be read; a column that is missing, listed twice, not
    numeric, infinite, or of no categories where some are asked for; a missing id, label or weight;
    a weight below zero; no features), `AlignmentError` (repeated ids) and `MissingExtraError`
    (pyarrow).
    """
    raw = read_columns(source, party=party)
    for role, name in (("id", id), ("label", label), ("weight", weight)):
        if name is not None and name not in raw.cells:
            raise DataError(
                f"{raw.where} has no {role} column '{name}'; set {role}: to one of: "
                + _listed(raw.cells)
            )
    special = [name for name in (id, label, weight) if name is not None]
    if len(set(special)) < len(special):
        again = max(special, key=special.count)
        both = " and ".join(
            role for role, name in (("id", id), ("label", label), ("weight", weight))
            if name == again
        )  # fmt: skip
        raise DataError(f"{raw.where}: column '{again}' cannot be both {both}; change label:")
    names = _feature_names(raw, special, columns, drop, labelled=label is not None)
    for name in () if categorical == "text" else categorical:
        if name not in names:
            raise DataError(
                f"{raw.where} has no feature column '{name}', which encode: names; the features "
                f"are: {_listed(names)}"
            )

    ids = canonical_ids(
        raw.cells[id],
        where=f"{party}: id column '{id}' of {raw.source}",
        row_numbers=raw.row_numbers,
    )
    refuse_repeated(ids, party=party, source=raw.source)
    values = np.empty((len(ids), len(names)), dtype=np.float64)
    levels = {}
    for k, feature in enumerate(names):
        cells = raw.cells[feature]
        if is_text(cells) if categorical == "text" else feature in categorical:
            values[:, k], levels[feature] = _categories(raw, feature)
            continue
        encode = f"{{columns: [{feature}]}}" if categorical else "one_hot"
        values[:, k] = _numeric(
            raw,
            feature,
            text=f"leave it out with drop: [{feature}], name the ones to use in columns:, or set "
            f"encode: {encode}",
            infinite=f"leave the cell empty and set impute: mean, or drop: [{feature}]",
        )
    y = w = None
    found: tuple[str, ...] = ()
    if label is not None and classes:
        y, found = _categories(raw, label)
        _refuse_missing(raw, "label", label, y)
    elif label is not None:
        text = (
            "a label must be a number: code two classes as 0 and 1, or use model: "
            "multinomial_regression, which takes words"
        )
        y = _numeric(raw, label, text=text, infinite="correct or remove those rows")
        _refuse_missing(raw, "label", label, y)
    if weight is not None:
        text = "a row's weight must be a number"
        w = _numeric(raw, weight, text=text, infinite="correct or remove those rows")
        _refuse_missing(raw, "weight", weight, w)
        negative = np.flatnonzero(w < 0)
        if negative.size:
            raise DataError(
                f"{party}: weight '{weight}' of {raw.source} is below zero in {negative.size} rows "
                f"(first: row {raw.row_numbers[negative[0]]}); correct or remove them"
            )
    return Table(
        party, raw.source, tuple(ids), names, values, y, label, levels, found, w
    )  # fmt: skip


def _refuse_missing(raw: Columns, what: str, name: str, values: NDArray[np.float64]) -> None:
    missing = np.flatnonzero(np.isnan(values))
    if missing.size:
        raise DataError(
            f"{raw.party}: {what} '{name}' of {raw.source} is missing in {missing.size} rows "
            f"(first: row {raw.row_numbers[missing[0]]}); fill in or remove them"
        )


def _feature_names(
    raw: Columns,
    special: Sequence[str],
    columns: Sequence[str] | None,
    drop: Sequence[str],
    *,
    labelled: bool,
) -> tuple[str, ...]:
    # Beside `columns`, a dropped column may be absent: a later file without it is as good.
    option, needed = ("drop", drop) if columns is None else ("columns", columns)
    for name in needed:
        if name not in raw.cells:
            raise DataError(
                f"{raw.where} has no column '{name}', which {option}: names; it has: "
                + _listed(raw.cells)
            )
    if columns is not None:
        for name in columns:
            if name in (*special, *drop) or list(columns).count(name) > 1:
                raise DataError(
                    f"{raw.where}: columns: names '{name}', which is the id, the label, "
                    "the weight, in drop: or named twice; take it off the list"
                )
    names = tuple(
        name
        for name in (raw.cells if columns is None else columns)
        if name not in (*special, *drop)
    )
    if not names and not labelled and columns is None:
        raise DataError(
            f"{raw.where} has no feature column left besides the id '{special[0]}'; a party "
            "without a label needs at least one: check columns: and drop:"
        )
    return names


def _listed(names: Iterable[str], most: int = 20) -> str:
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def _numeric(raw: Columns, name: str, *, text: str, infinite: str) -> NDArray[np.float64]:
    where = f"{raw.party}: column '{name}' of {raw.source}"
    values, bad = numbers(raw.cells[name])
    if bad is not None:
        raise DataError(f"{where} is not numeric (row {raw.row_numbers[bad]}); {text}")
    infinities = np.flatnonzero(np.isinf(values))
    if infinities.size:
        raise DataError(
            f"{where} is infinite in {infinities.size} rows (first: row "
            f"{raw.row_numbers[infinities[0]]}); {infinite}"
        )
    return values


def _categories(raw: Columns, name: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    codes, levels, bad = coded(raw.cells[name])
    if bad is not None:
        raise DataError(
            f"{raw.party}: column '{name}' of {raw.source} cannot be read as categories (row "
            f"{raw.row_numbers[bad]}): they are text, whole numbers or truth values; take it off "
            f"encode: or drop: [{name}]"
        )
    return codes, levels


def check_binary_label(
    y: NDArray[np.float64], *, party: str, source: str, name: str
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The label of a logistic regression: signs float64 (n,) in {-1, +1}, and (negative, positive).

    The larger of the two values found is the positive class. Raises `DataError` for a label that
    has one value or more than two.
    """
    found = np.unique(y)
    if found.size != 2:
        same = "all rows have the same" if found.size == 1 else f"it has {found.size} different"
        raise DataError(
            f"{party}: label '{name}' of {source} must have two values for a logistic regression; "
            f"{same} among {y.size} rows; check label:"
            + (", or use model: linear_regression" if found.size > 2 else "")
        )
    return np.where(y == found[1], 1.0, -1.0), (float(found[0]), float(found[1]))


def check_numeric_label(y: NDArray[np.float64], *, party: str, source: str, name: str) -> None:
    """The label of a linear regression. Raises `DataError` unless it is finite and not constant."""
    bad = int(np.count_nonzero(~np.isfinite(y)))
    if bad:
        raise DataError(
            f"{party}: label '{name}' of {source} is missing or infinite in {bad} of {y.size} "
            "rows; fill in or remove them"
        )
    if y.size == 0 or y.min() == y.max():
        raise DataError(
            f"{party}: label '{name}' of {source} is constant over {y.size} rows: there is nothing "
            "to learn; check label:"
        )


def check_counts(y: NDArray[np.float64], *, party: str, source: str, name: str) -> None:
    """The label of a Poisson regression. Raises `DataError` below zero, and where all are zero."""
    negative = int(np.count_nonzero(y < 0))
    if negative:
        raise DataError(
            f"{party}: label '{name}' of {source} is below zero in {negative} of {y.size} rows; a "
            "Poisson regression needs counts: correct them, or use model: linear_regression"
        )
    if not y.any():
        raise DataError(
            f"{party}: label '{name}' of {source} is zero in all {y.size} rows: there is nothing "
            "to learn; check label:"
        )
