"""POOLED PLAINTEXT: the answer that an encrypted run must reach, from everybody's columns at once.

Only `vfl verify`, the demo and benchmarks may use this, on a machine that may see every table. It
shares the reading of files with the parties: order, split, scaling, targets, and the residuals and
optimisers of the levels that open gradients are written here once more, in numpy alone, so that it
can catch their mistakes. The steps of the shared level are those of `models.clear`, which knows of
no share.
"""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vfl.data.pooled import pooled_table
from vfl.data.table import Table, read_table
from vfl.errors import DataError, JobError
from vfl.models import clear
from vfl.models.response import FAMILIES
from vfl.spec import (
    LinearRegression,
    LogisticRegression,
    MultinomialRegression,
    PoissonRegression,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vfl.spec import JobSpec, ModelSpec, OneHotSpec, PartySpec, PcaSpec

    Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Pooled:
    """Everybody's preprocessed columns in the order of training; the first `train` rows train.

    X float64 (n, f) with each party's columns at `columns`; y (n,) as in the file, or the place of
    its class; weight (n,) as in the file; axes (n_p, k_p) of the parties that project theirs.
    """

    X: Vector
    y: Vector
    weight: Vector
    columns: dict[str, slice]
    train: int
    axes: dict[str, Vector]


def pool(job: JobSpec) -> Pooled:
    """Read, join, order, split and scale all tables. Raises `VflError` as reading does.

    The order is by SHA-256 of the job's seed and the id, the held-out rows are the last, and
    scaling is fitted on the training rows: what the parties agree on without showing a row.
    """
    parties = [p for p in job.parties if p.data is not None]
    tables = [
        read_table(
            p.data, party=p.name, id=p.id, label=p.label, columns=p.columns, drop=p.drop,
            categorical=(p.one_hot.columns or "text") if p.one_hot else (),
            weight=p.weight, classes=isinstance(job.model, MultinomialRegression),
        )
        for p in parties
    ]  # fmt: skip
    X, y, _ = pooled_table(tables)
    weight = _row_weights(tables)
    order = _order(tables, job.seed)
    X, y, weight = X[order], y[order], weight[order]
    train = len(y) - round(len(y) * job.test_fraction)
    edges = _edges(train, job.model) if job.opens_gradients else [0, train]
    parts, columns, begin, end = [], {}, 0, 0
    for party, table in zip(parties, tables, strict=True):
        own = X[:, begin : begin + len(table.names)]
        begin += len(table.names)
        if party.one_hot:
            own = _encoded(own, table, party.one_hot, edges)
        parts.append(_preprocessed(own, party, train))
        columns[party.name] = slice(end, end + own.shape[1])
        end += own.shape[1]
    axes = {
        party.name: _axes(own[:train], party.pca)
        for party, own in zip(parties, parts, strict=True)
        if party.pca
    }
    return Pooled(np.hstack(parts), y, weight, columns, train, axes)


def train(job: JobSpec, pooled: Pooled, rounds: int) -> Vector:
    """The job's own algorithm in the clear: theta (f + 1, k), intercepts last, 0 without one.

    `rounds` are the steps that a run on shares took, or the epochs of one at the open level.
    """
    projected, back = _projected(pooled)
    return np.asarray(back @ _trained(job, projected, rounds))


def _trained(job: JobSpec, pooled: Pooled, rounds: int) -> Vector:
    if job.security == "arbiter":
        return _coordinated(job.model, pooled)
    if job.level == "open":
        return _opened(job.model, pooled, rounds)
    if job.level == "sealed":
        return _ridge(job.model, pooled)
    n, active = pooled.train, pooled.columns[job.roster.active]
    target, weight = _targets(job.model, pooled), _weights(job.model, pooled)
    fitted = clear.fit_blocks(
        [pooled.X[:n, pooled.columns[name]] for name in job.roster.passives],
        pooled.X[:n, active], target, weight, FAMILIES[type(job.model)],
        l2=job.model.l2, intercept=job.model.intercept, rounds=rounds, tolerance=0.0,
    )  # fmt: skip
    theta = np.zeros((pooled.X.shape[1] + 1, target.shape[1]))
    theta[active], theta[-1] = fitted.own, fitted.intercept
    for name, weights in zip(job.roster.passives, fitted.blocks, strict=True):
        theta[pooled.columns[name]] = weights
    return theta


def _ridge(model: ModelSpec, pooled: Pooled) -> Vector:
    """The minimum itself, by normal equations: to it the sealed level's fixed rounds come close."""
    X = pooled.X[: pooled.train]
    means = X.mean(axis=0) if model.intercept else np.zeros(X.shape[1])
    X = X - means
    H = X.T @ X / len(X) + model.l2 * np.eye(X.shape[1])
    w = np.linalg.pinv(H, hermitian=True) @ (X.T @ _targets(model, pooled)) / len(X)
    return np.vstack([w, -means @ w])


def _targets(model: ModelSpec, pooled: Pooled) -> Vector:
    """(n, k) of the training rows."""
    y = pooled.y[: pooled.train]
    if isinstance(model, LogisticRegression):
        return np.asarray(y == y.max(), dtype=np.float64)[:, None]
    if isinstance(model, MultinomialRegression):
        return np.asarray(y[:, None] == np.unique(y), dtype=np.float64)
    if isinstance(model, PoissonRegression):
        return y[:, None]
    return np.asarray((y - y.mean()) / y.std())[:, None]


def _weights(model: ModelSpec, pooled: Pooled) -> Vector:
    """(n,) of the training rows, mean 1; rows held back to stop early weigh nothing."""
    n = pooled.train
    y, weight = pooled.y[:n], pooled.weight[:n].copy()
    by_class = getattr(model, "class_weight", None)
    if by_class == "balanced":
        values, counts = np.unique(y, return_counts=True)
        weight *= (n / len(values) / counts)[np.searchsorted(values, y)]
    elif by_class:
        raise JobError("verify compares no class_weight given by name; leave it out")
    if model.early_stopping:
        weight[n - max(1, round(n * model.early_stopping.fraction)) :] = 0.0
    return np.asarray(weight / weight.mean())


def _coordinated(model: ModelSpec, pooled: Pooled) -> Vector:
    """The arbiter level's theta (f + 1, 1): residuals slope * z - target, from zero weights."""
    y = pooled.y[: pooled.train]
    if isinstance(model, LogisticRegression):
        slope, target = 0.25, np.where(y == y.max(), 0.5, -0.5)
    else:
        slope, target = 1.0, (y - y.mean()) / y.std()
    start = np.zeros((pooled.X.shape[1] + 1, 1))
    epochs, tolerance = model.descent.epochs, model.tolerance
    return _descended(
        model, pooled, start, lambda z, rows: slope * z - target[rows, None], epochs, tolerance
    )


def _opened(model: ModelSpec, pooled: Pooled, epochs: int) -> Vector:
    """The open level's theta (f + 1, k): exact residuals, from the intercepts best alone."""
    target, weight = _targets(model, pooled), _weights(model, pooled)
    start = np.zeros((pooled.X.shape[1] + 1, target.shape[1]))
    average = weight @ target / len(target)
    if model.intercept and isinstance(model, LogisticRegression):
        start[-1] = np.log(average / (1 - average))
    elif model.intercept and isinstance(model, (PoissonRegression, MultinomialRegression)):
        several = isinstance(model, MultinomialRegression)
        start[-1] = np.log(average) - several * np.log(average).mean()
    elif model.intercept:
        start[-1] = average

    def residual(z: Vector, rows: NDArray[np.intp]) -> Vector:
        mean = z
        if isinstance(model, LogisticRegression):
            mean = 0.5 + 0.5 * np.tanh(z / 2)
        elif isinstance(model, PoissonRegression):
            mean = np.exp(z)
        elif isinstance(model, MultinomialRegression):
            mean = np.exp(z - np.logaddexp.reduce(z, axis=1)[:, None])
        return np.asarray((mean - target[rows]) * weight[rows, None])

    return _descended(model, pooled, start, residual, epochs, tolerance=-1.0)


def _descended(
    model: ModelSpec, pooled: Pooled, theta: Vector,
    residual: Callable[[Vector, NDArray[np.intp]], Vector], epochs: int, tolerance: float,
) -> Vector:  # fmt: skip
    """theta (f + 1, k) after full passes over fixed batches.

    Per batch the gradient of the mean loss plus l2 * theta, and one optimiser step; stop when a
    pass moves theta by no more than the tolerance.
    """
    n = pooled.train
    X, edges = _with_ones(pooled.X[:n]), _edges(n, model)
    penalty = np.append(np.full(X.shape[1] - 1, model.l2), 0.0)[:, None]
    learned = np.append(np.ones(X.shape[1] - 1), float(model.intercept))[:, None]
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    t = 0
    for epoch in range(epochs):
        rate = model.descent.learning_rate * (1 + model.descent.decay * epoch) ** -0.5
        order = np.random.default_rng(epoch).permutation(n) if model.reshuffle else np.arange(n)
        before = theta
        for batch in (order[a:b] for a, b in itertools.pairwise(edges)):
            d = residual(X[batch] @ theta, batch)
            g = (X[batch].T @ d / len(batch) + penalty * theta) * learned
            # Zero but for rounding (the intercept of a standardised label): Adam would divide
            # noise by noise and walk off with it.
            g[np.abs(g) < 1e-9 * np.abs(g).max()] = 0.0
            t += 1
            if model.descent.optimizer == "adam":
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                g = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-3)
            elif model.descent.optimizer == "rmsprop":
                v = 0.99 * v + 0.01 * g * g
                g = g / np.sqrt(v + 1e-6)
            elif model.descent.optimizer == "momentum":
                g = m = 0.9 * m + g
            theta = theta - rate * g
        if np.linalg.norm(theta - before) <= tolerance:
            break
    return theta


def metric(model: ModelSpec, pooled: Pooled, scores: Vector) -> tuple[str, float]:
    """("auc", "r2" or "d2", its value) of scores (n, k) on the held-out rows.

    Raises `DataError` where the held-out rows have no AUC.
    """
    from sklearn.metrics import d2_tweedie_score, r2_score, roc_auc_score

    y, z = pooled.y[pooled.train :], scores[pooled.train :]
    fitted = pooled.y[: pooled.train]
    if isinstance(model, LinearRegression):
        return "r2", float(r2_score(y, fitted.mean() + fitted.std() * z[:, 0]))
    if isinstance(model, PoissonRegression):
        return "d2", float(d2_tweedie_score(y, np.exp(z[:, 0]), power=1))
    if len(np.unique(y)) < 2:
        raise DataError(
            f"the {len(y)} held-out rows are all of one class, so they have no AUC; "
            "raise test_fraction or change seed"
        )
    if isinstance(model, LogisticRegression):
        return "auc", float(roc_auc_score(y == pooled.y.max(), z[:, 0]))
    areas = [
        roc_auc_score(y == value, z[:, place] - np.logaddexp.reduce(z, axis=1))
        for place, value in enumerate(np.unique(fitted))
        if value in y
    ]
    return "auc", float(np.mean(areas))


def deviance(model: ModelSpec, pooled: Pooled, scores: Vector) -> float:
    """Of scores (n, k) on the weighted training rows: twice the mean negative log-likelihood.

    Less that of the saturated model for counts, and the squared error for a linear model.
    """
    n = pooled.train
    target, weight, z = _targets(model, pooled), _weights(model, pooled), scores[:n]
    if isinstance(model, LogisticRegression):
        rows = np.logaddexp(0.0, z) - target * z
    elif isinstance(model, MultinomialRegression):
        rows = np.logaddexp.reduce(z, axis=1) - (target * z).sum(axis=1)
    elif isinstance(model, PoissonRegression):
        logs = np.log(np.where(target > 0, target, 1.0))
        rows = np.exp(z) - target + target * (logs - z)
    else:
        rows = (z - target) ** 2 / 2
    return float(2 * np.mean(weight * rows.reshape(n)))


def scores(pooled: Pooled, theta: Vector) -> Vector:
    """z (n, k) of all rows under theta (f + 1, k)."""
    return np.asarray(_with_ones(pooled.X) @ theta)


def solve(model: ModelSpec, pooled: Pooled) -> Vector:
    """theta (f + 1, k) of scikit-learn's solution of the same penalised problem, exact loss.

    Its C and alpha weigh the penalty against a sum over rows, l2 against a mean. Two classes of a
    multinomial model are to it one score with half the penalty.
    """
    from sklearn import linear_model

    pooled, back = _projected(pooled)
    n = pooled.train
    X, weight = pooled.X[:n], _weights(model, pooled)
    options = {"fit_intercept": model.intercept, "max_iter": 5000, "tol": 1e-8}
    if isinstance(model, LinearRegression):
        found = linear_model.Ridge(alpha=model.l2 * n, fit_intercept=model.intercept)
        y = _targets(model, pooled)[:, 0]
    elif isinstance(model, PoissonRegression):
        found, y = linear_model.PoissonRegressor(alpha=model.l2, **options), pooled.y[:n]
    else:
        y = pooled.y[:n]
        several = isinstance(model, MultinomialRegression)
        halved = 2 if several and len(np.unique(y)) == 2 else 1
        C = halved / (model.l2 * n) if model.l2 else np.inf
        found = linear_model.LogisticRegression(C=C, **options)
    found.fit(X, y, sample_weight=weight)
    coefficients = np.atleast_2d(found.coef_)
    theta = np.vstack([coefficients.T, np.atleast_1d(found.intercept_)[None]])
    if isinstance(model, MultinomialRegression) and theta.shape[1] == 1:
        theta = np.hstack([-theta / 2, theta / 2])
    return np.asarray(back @ theta)


def _order(tables: Sequence[Table], seed: int) -> NDArray[np.intp]:
    common = sorted(set.intersection(*(set(table.ids) for table in tables)))
    start = b"vfl row order" + seed.to_bytes(16, "little", signed=True)
    digests = [hashlib.sha256(start + one).digest() for one in common]
    return np.array(sorted(range(len(common)), key=digests.__getitem__), dtype=np.intp)


def _row_weights(tables: Sequence[Table]) -> Vector:
    """(n,) of the joint rows, in the order of their ids."""
    common = sorted(set.intersection(*(set(table.ids) for table in tables)))
    given = [table for table in tables if table.weight is not None]
    if not given or given[0].weight is None:
        return np.ones(len(common))
    weight_of = dict(zip(given[0].ids, given[0].weight, strict=True))
    return np.array([weight_of[one] for one in common])


def _edges(rows: int, model: ModelSpec) -> list[int]:
    count = max(1, rows // (model.batch_size or 65536))
    return [round(rows * i / count) for i in range(count + 1)]


def _encoded(X: Vector, table: Table, spec: OneHotSpec, edges: list[int]) -> Vector:
    """One party's columns with its categories as zeros and ones, by counting names."""
    made = []
    for name, values in zip(table.names, X.T, strict=True):
        if name not in table.levels:
            made.append(values)
            continue
        names = ["" if np.isnan(v) else table.levels[name][int(v)] for v in values]
        counts = [Counter(names[a:b]) for a, b in itertools.pairwise(edges)]
        total = Counter(names[: edges[-1]])
        ranked = sorted(total, key=lambda level: (-total[level], level))
        enough = [one for one in ranked if min(c[one] for c in counts) >= spec.min_rows]
        if not enough:
            raise DataError(
                f"{table.party}: no category of column '{name}' has {spec.min_rows} rows in every "
                f"batch; drop: [{name}], or lower min_rows in encode:"
            )
        first, *others = enough[: spec.max_levels]
        made += [np.array([n == level for n in names], float) for level in sorted(others)]
        rest = {one for one in names if one != first and one not in others}
        if min(sum(c[one] for one in rest) for c in counts) >= spec.min_rows:
            made.append(np.array([n in rest for n in names], float))
    return np.column_stack(made) if made else X[:, :0]


def _preprocessed(X: Vector, party: PartySpec, train: int) -> Vector:
    """One party's columns, filled and scaled as its part of the job says."""
    if party.impute:
        with warnings.catch_warnings(action="ignore"):  # a column without any value and zero
            known = X[:train]
            fill = {
                "mean": np.nanmean(known, axis=0),
                "median": np.nanmedian(known, axis=0),
                "zero": np.zeros(X.shape[1]),
            }[party.impute]
        X = np.where(np.isnan(X), fill, X)
    if party.scale == "none":
        return X
    spread = X[:train].std(axis=0)
    constant = np.ptp(X[:train], axis=0) <= 1e-12 * np.abs(X[:train]).max(axis=0)
    return np.asarray(
        np.where(constant, 0.0, (X - X[:train].mean(axis=0)) / np.where(constant, 1.0, spread))
    )


def _axes(X: Vector, pca: PcaSpec) -> Vector:
    """(n, k) in the columns: eigenvectors of the covariance of training rows X (m, n)."""
    X = X - X.mean(axis=0)
    variances, axes = np.linalg.eigh(X.T @ X / len(X))
    variances, axes = variances[::-1], axes[:, ::-1]
    k = X.shape[1]
    if pca.ratio is not None:
        k = max(1, round(pca.ratio * k))
    elif pca.variance is not None:
        below = variances.cumsum() < (pca.variance - 1e-9) * variances.sum()
        k = 1 + int(below.sum())
    return axes[:, : min(k, int((variances > 1e-10 * variances.max(initial=0.0)).sum()))]


def _projected(pooled: Pooled) -> tuple[Pooled, Vector]:
    """The columns that train, and the matrix from their theta to that of all columns.

    Theta of z = A'(x - c) is A theta with c'A theta less in the intercept.
    """
    if not pooled.axes:
        return pooled, np.eye(pooled.X.shape[1] + 1)
    parts, columns, blocks, end = [], {}, [], 0
    for name, at in pooled.columns.items():
        own = pooled.X[:, at]
        axes, centre = np.eye(own.shape[1]), np.zeros(own.shape[1])
        if name in pooled.axes:
            axes, centre = pooled.axes[name], own[: pooled.train].mean(axis=0)
        parts.append((own - centre) @ axes)
        columns[name] = slice(end, end := end + axes.shape[1])
        blocks.append((at, axes, -centre @ axes))
    back = np.zeros((pooled.X.shape[1] + 1, end + 1))
    for name, (at, axes, shift) in zip(columns, blocks, strict=True):
        back[at, columns[name]], back[-1, columns[name]] = axes, shift
    back[-1, -1] = 1.0
    return replace(pooled, X=np.hstack(parts), columns=columns, axes={}), back


def _with_ones(X: Vector) -> Vector:
    return np.column_stack([X, np.ones(len(X))])
