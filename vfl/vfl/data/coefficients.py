"""What a party may read off its share of a model: coefficients in the units of its own file.

The model's score of a person is a sum over the parties,

    z = sum_p ( a_p + sum_j b_pj x_pj )        b = weight / spread,  a = -sum_j b_pj mean_pj,

where x are the cells as they stand in the files, gaps filled, and the active party adds the learnt
intercept to its a_p. An a_p holds the means of its party's columns, so it stays there: nobody knows
the model's intercept in original units, the sum of all a_p, and an a_p alone means little.

z is the log-odds of the positive class, or, for a linear regression, the label in deviations from
its mean; the active party's model.json holds mean and deviation of the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vfl.data.encode import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vfl.data.encode import Coding
    from vfl.data.preprocess import Preprocessor

OWN_PART = "(own part of the intercept)"
OTHER_LEVEL, MISSING_LEVEL = "(other)", "(missing)"


class Coefficient(NamedTuple):
    """One line of `coefficients.csv`. `level` is empty for a column of numbers.

    A level adds its coefficient to the score of who has it, a level without a line that of
    "(other)", and nothing where there is no such line. The reference level's coefficient is 0.
    """

    name: str
    level: str
    coefficient: float  # score per unit of the column
    standardised: float  # score per deviation of the column, as it was learnt


def coefficients(
    names: Sequence[str],
    codings: Sequence[Coding],
    preprocessor: Preprocessor,
    weights: NDArray[np.float64],
    intercept: float,
) -> list[Coefficient]:
    """A line for each column and level of a party, and its own part of the intercept last.

    names (f,) are the columns of its table, weights (g,) belong to its encoded columns.
    """
    slopes = weights * np.array(preprocessor.factor)
    found = []
    learnt = zip(slopes.tolist(), weights.tolist(), strict=True)
    for name, level, reference in _lines(names, codings):
        found.append(Coefficient(name, level, *((0.0, 0.0) if reference else next(learnt))))
    own = intercept - float(slopes @ np.array(preprocessor.centre))
    return [*found, Coefficient(OWN_PART, "", own, intercept)]


def _lines(names: Sequence[str], codings: Sequence[Coding]) -> Iterator[tuple[str, str, bool]]:
    """(column, level, whether it is a reference and has no weight), in the order of weights."""
    coding_of = {coding.column: coding for coding in codings}
    for name in names:
        coding = coding_of.get(name)
        if coding is None:
            yield name, "", False
            continue
        for place, level in enumerate(coding.levels):
            yield name, MISSING_LEVEL if level == MISSING else level, place == 0
        if coding.other:
            yield name, OTHER_LEVEL, False
