"""Jobs on generated tables for the level `shared`, and the same training in the clear.

The clear side has its own join, row order, standardisation and targets; the steps are those of
`models.clear`, which has tests against scikit-learn of its own.
"""

from __future__ import annotations

import msgspec
import numpy as np
from plaintext import row_order

import vfl
from vfl.models.clear import fit_blocks
from vfl.models.families import LOGISTIC, POISSON, SOFTMAX
from vfl.spec import MultinomialRegression, PoissonRegression, check_job

MODELS = {
    "logistic": vfl.LogisticRegression,
    "poisson": PoissonRegression,
    "softmax": MultinomialRegression,
}
FAMILIES = {"logistic": LOGISTIC, "poisson": POISSON, "softmax": SOFTMAX}
CLASSES = ("ale", "bitter", "cider")


def draw(kind, widths, *, n=240, condition=1.0, noise=1.0, steep=0.7, weighted=False, seed=0):
    """Tables by party, each in an order of its own; `bank` has y, and w where weighted.

    `condition`: about that of each party's columns, which share a common part. `steep`: the
    deviation of a count's logarithm.
    """
    rng = np.random.default_rng(seed)
    names = ["bank", *(f"p{k}" for k in range(len(widths) - 1))]
    common, total = rng.standard_normal((n, 1)), 0.0
    values = {}
    for name, f in zip(names, widths, strict=True):
        Q = np.linalg.qr(rng.standard_normal((f, f)))[0]
        mixed = (rng.standard_normal((n, f)) + 0.5 * common) @ Q
        values[name] = mixed * np.geomspace(1, 1 / condition, f) @ Q.T
        scaled = values[name] / np.maximum(values[name].std(axis=0), 1e-12)
        total = total + scaled @ rng.standard_normal((f, 3))
    z = total / total.std()
    label = {
        "logistic": z[:, 0] + noise * rng.logistic(size=n) > 0,
        "poisson": rng.poisson(np.exp(steep * z[:, 0])),
        "softmax": np.array(CLASSES)[np.argmax(2 * z + noise * rng.gumbel(size=z.shape), axis=1)],
    }[kind]
    ids = np.array([f"person-{k}" for k in range(n)])
    tables = {}
    for name in names:
        order = rng.permutation(n)
        tables[name] = {"id": ids[order]}
        tables[name] |= {f"{name}{k}": values[name][order, k] for k in range(values[name].shape[1])}
        if name == "bank":
            tables[name]["y"] = label[order] * 1 if kind != "softmax" else label[order]
            if weighted:
                tables[name]["w"] = rng.exponential(size=n)
    return tables


def job_of(tables, model, **options):
    """A checked job on the tables: mock cipher, this process, no limit on opened scores."""
    weight = "w" if "w" in tables["bank"] else None
    parties = [vfl.Party("bank", data=tables["bank"], label="y", weight=weight)]
    parties += [vfl.Party(name, data=t) for name, t in tables.items() if name != "bank"]
    options = {"crypto": "mock", "transport": "inprocess", "accept_score_leak": True} | options
    return check_job(vfl.JobSpec(parties=parties, model=model, **options))


def training_rows(job, tables):
    """(ids in the common order, standardised X (n, f) by party, label (n,), row weights (n,)).

    The first `test_fraction` less of them train, and standardise.
    """
    order = row_order(tables["bank"]["id"].tolist(), job.seed)
    held = round(len(order) * job.test_fraction)
    X, label, weight = {}, None, np.ones(len(order))
    for name, table in tables.items():
        place = {key: at for at, key in enumerate(table["id"].tolist())}
        rows = [place[key] for key in order]
        columns = [c[rows] for key, c in table.items() if key not in ("id", "y", "w")]
        values = np.stack(columns, axis=1) if columns else np.zeros((len(order), 0))
        train = values[: len(order) - held]
        spread = train.std(axis=0)
        X[name] = (values - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        if name == "bank":
            label = table["y"][rows]
            weight = table["w"][rows] if "w" in table else weight
    return order, X, label, weight


def target_of(kind, label):
    """(n, k)."""
    if kind == "softmax":
        return (label[:, None] == np.unique(label)).astype(np.float64)
    return label[:, None].astype(np.float64)


def mean_one(weight):
    return weight / weight.mean()


def in_the_clear(kind, job, tables, *, weight=None, rows=None, **options):
    """`fit_blocks` on the training rows, or some of them: what the job must end in."""
    order, X, label, given = training_rows(job, tables)
    n = len(order) - round(len(order) * job.test_fraction)
    kept = np.arange(n) if rows is None else rows
    weight = mean_one(given[kept] if weight is None else weight[kept])
    blocks = [X[name][kept] for name in tables if name != "bank"]
    target = target_of(kind, label)[kept]
    model = job.model
    options = {
        "l2": model.l2, "intercept": model.intercept, "rounds": model.epochs,
        "tolerance": model.tolerance,
    } | options  # fmt: skip
    return fit_blocks(blocks, X["bank"][kept], target, weight, FAMILIES[kind], **options)


def model_of(folder, party):
    """(weights (f, k), intercept (k,)) as the party stored them."""
    stored = msgspec.json.decode((folder / party / "model.json").read_bytes())
    k = len(stored["intercept"])
    return np.array(stored["weights"]).reshape(-1, k), np.array(stored["intercept"])


def weights_of(folder, tables):
    """All parties' weights (f, k), and the intercept (k,)."""
    models = {name: model_of(folder, name) for name in tables}
    return np.vstack([weights for weights, _ in models.values()]), models["bank"][1]


def apart(run, fit, tables):
    """The largest difference of any weight or intercept between a run and a clear fit."""
    weights, intercept = weights_of(run.folder, tables)
    expected = np.vstack([fit.own, *fit.blocks])
    assert weights.shape == expected.shape
    differences = [np.abs(weights - expected), np.abs(intercept - fit.intercept)]
    return max(float(d.max(initial=0.0)) for d in differences)
