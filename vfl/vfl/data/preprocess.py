"""Local preprocessing of one party's columns: fill what is missing, then standardise.

Fitted on the training rows alone, so that a held-out row says nothing to the model before it is
scored. What was fitted is a few numbers a column and goes into the checkpoint as plain JSON; it is
the party's own (means and spreads of its people) and never leaves it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from vfl.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Impute = Literal["mean", "median", "zero"]
Scale = Literal["standard", "none"]

# A column whose values differ by less than this share of their size differs by rounding only.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Preprocessor:
    """x -> (x with NaN replaced by fill - centre) * factor, column by column.

    A column that is constant over the training rows has factor 0: it is 0 everywhere, also where a
    later row differs, because no weight was learnt for it. `notes` says so. With scale "none",
    centre is 0 and factor 1, constant or not.
    """

    party: str
    names: tuple[str, ...]
    fill: tuple[float, ...] | None
    centre: tuple[float, ...]
    factor: tuple[float, ...]
    notes: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        values: NDArray[np.float64],
        names: Sequence[str],
        *,
        party: str,
        impute: Impute | None = None,
        scale: Scale = "standard",
    ) -> Self:
        """Fit on the training rows, values float64 (n, f) with NaN for missing, n >= 1.

        Centre and spread are taken after filling; the spread is the population's (divisor n).
        Raises `DataError` for NaN without a rule, a column with no value at all to take a mean or
        median of, and one whose spread is too large or too small for its square to be a float.
        """
        if impute is None:
            _refuse_missing(values, names, party)
            fill = None
            filled = values
        else:
            fill = _fill_values(values, names, party, impute)
            filled = np.where(np.isnan(values), fill, values)

        centre, factor = np.zeros(len(names)), np.ones(len(names))
        notes = []
        if scale == "standard":
            constant = constant_columns(filled)
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                centre, spread = filled.mean(axis=0), filled.std(axis=0)
            for name in np.asarray(names)[~constant & ~((spread > 1e-150) & (spread < 1e150))]:
                raise DataError(
                    f"{party}: column '{name}' is too large or too small to be scaled; use another "
                    f"unit or drop: [{name}]"
                )
            factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread))
            centre = np.where(
                constant, filled.min(axis=0), centre
            )  # finite also where the sum is not
            notes = [
                f"column '{name}' is constant over the training rows and counts as 0"
                for name in np.asarray(names)[constant]
            ]
        return cls(
            party,
            tuple(names),
            None if fill is None else tuple(fill.tolist()),
            tuple(centre.tolist()),
            tuple(factor.tolist()),
            tuple(notes),
        )

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """A new array float64 (n, f), C-contiguous, without NaN.

        Raises `DataError` for another number of columns, or NaN where no rule was fitted.
        """
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise DataError(
                f"{self.party}: the rows have {values.shape[-1]} columns and the model was fitted "
                f"on {len(self.names)}: {', '.join(self.names[:20])}"
            )
        if self.fill is None:
            _refuse_missing(values, self.names, self.party)
            filled = values
        else:
            filled = np.where(np.isnan(values), self.fill, values)
        return np.ascontiguousarray((filled - np.array(self.centre)) * np.array(self.factor))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; through `json` and `from_dict` every float comes back bit for bit."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_dict` gave. Raises `CheckpointError` for anything else."""
        try:
            fill = stored["fill"]
            made = cls(
                str(stored["party"]),
                tuple(str(name) for name in stored["names"]),
                None if fill is None else tuple(float(x) for x in fill),
                tuple(float(x) for x in stored["centre"]),
                tuple(float(x) for x in stored["factor"]),
                tuple(str(note) for note in stored["notes"]),
            )
        except (KeyError, TypeError, ValueError):
            made = None
        fitted = () if made is None else (made.fill or made.centre, made.centre, made.factor)
        if made is None or any(
            len(one) != len(made.names) or not np.isfinite(one).all() for one in fitted
        ):
            raise CheckpointError(
                "the stored preprocessing is damaged or of another version; fit it again"
            )
        return made


def constant_columns(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which columns of finite values (n, f), n >= 1, are the same in all rows, to `ROUNDING`."""
    low, high = values.min(axis=0), values.max(axis=0)
    with np.errstate(over="ignore"):
        return np.asarray(high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high)))


def _refuse_missing(values: NDArray[np.float64], names: Sequence[str], party: str) -> None:
    missing = np.isnan(values).sum(axis=0)
    if missing.any():
        worst = int(missing.argmax())
        raise DataError(
            f"{party}: column '{names[worst]}' has no value in {missing[worst]} of "
            f"{len(values)} rows ({np.count_nonzero(missing)} such columns); set impute: mean "
            f"(or median, zero), or drop: [{names[worst]}]"
        )


def _fill_values(
    values: NDArray[np.float64], names: Sequence[str], party: str, impute: Impute
) -> NDArray[np.float64]:
    """One fill value a column, also for columns without a gap: a later row may have one."""
    if impute == "zero":
        return np.zeros(len(names))
    for name in np.asarray(names)[np.isnan(values).all(axis=0)]:
        raise DataError(
            f"{party}: column '{name}' has no value in any training row, so it has no {impute}; "
            f"drop: [{name}]"
        )
    return np.asarray(
        np.nanmean(values, axis=0) if impute == "mean" else np.nanmedian(values, axis=0)
    )
