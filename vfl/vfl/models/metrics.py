"""How good predictions are, and what a party could reach alone. scikit-learn does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
