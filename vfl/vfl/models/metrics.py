"""How good predictions are, and what a party could reach alone. scikit-learn does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.models.families import GAUSSIAN, LOGISTIC, POISSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.models.families import Family

    Vector = NDArray[np.float64]


def binary(y: NDArray[np.bool_], probability: Vector) -> dict[str, float]:
    """AUC, accuracy at 1/2 and log loss of probabilities (n,); no AUC where y has one class."""
    from sklearn.metrics import log_loss, roc_auc_score

    found = {
        "accuracy": float(np.mean((probability >= 0.5) == y)),
        "log_loss": float(log_loss(y, probability, labels=[False, True])),
    }
    if y.any() and not y.all():
        found = {"auc": float(roc_auc_score(y, probability)), **found}
    return found


def regression(y: Vector, predicted: Vector) -> dict[str, float]:
    """R^2 and root mean squared error."""
    from sklearn.metrics import r2_score

    error = float(np.sqrt(np.mean((y - predicted) ** 2)))
    return {"r2": float(r2_score(y, predicted)), "rmse": error}


def counts(y: Vector, predicted: Vector) -> dict[str, float]:
    """Mean Poisson deviance of predicted mean counts (n,), and the part of it that they explain.

    No such part (d2) where all counts are the same.
    """
    from sklearn.metrics import d2_tweedie_score, mean_poisson_deviance

    positive = np.clip(predicted, 1e-200, 1e200)  # so that the deviance is finite
    found = {"deviance": float(mean_poisson_deviance(y, positive))}
    if len(y) > 1 and np.ptp(y):
        found = {"d2": float(d2_tweedie_score(y, positive, power=1)), **found}
    return found


def multinomial(y: NDArray[np.intp], probability: Vector) -> dict[str, float]:
    """AUC, accuracy and log loss of probabilities (n, k) for classes y (n,) from 0 to k - 1.

    The AUC is the mean over the classes in y of each against all others; there is none where y
    has one class.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    found = {
        "accuracy": float(np.mean(probability.argmax(axis=1) == y)),
        "log_loss": float(log_loss(y, probability, labels=np.arange(probability.shape[1]))),
    }
    seen = np.unique(y)
    if len(seen) > 1:
        each = [roc_auc_score(y == c, probability[:, c]) for c in seen]
        found = {"auc": float(np.mean(each)), **found}
    return found


def metrics_of(family: Family, z: Vector, target: Vector) -> dict[str, float]:
    """The metrics of that family's scores (n, k) against its targets (n, k).

    A gaussian's rmse is in the unit of the targets; r2 has none.
    """
    mean = family.mean(z)
    if family is LOGISTIC:
        return binary(target[:, 0] > 0.5, mean[:, 0])
    if family is GAUSSIAN:
        return regression(target[:, 0], mean[:, 0])
    if family is POISSON:
        return counts(target[:, 0], mean[:, 0])
    return multinomial(target.argmax(axis=1), mean)


def logistic_baseline(train: Vector, y: NDArray[np.bool_], held_out: Vector) -> Vector:
    """Probabilities (m,) of a plain logistic regression on columns (n, f)."""
    from sklearn.linear_model import LogisticRegression

    if not train.shape[1]:
        return np.full(len(held_out), float(y.mean()))
    fitted = LogisticRegression(max_iter=1000).fit(train, y)
    return np.asarray(fitted.predict_proba(held_out)[:, 1])


def linear_baseline(train: Vector, y: Vector, held_out: Vector) -> Vector:
    """Predictions (m,) of ordinary least squares on columns (n, f)."""
    design = np.hstack([train, np.ones((len(train), 1))])
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    return np.asarray(np.hstack([held_out, np.ones((len(held_out), 1))]) @ weights)
