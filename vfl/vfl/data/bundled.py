"""Files to try the program on: a real job for the demo, a generated one for benchmarks.

The real data are the 569 people of the Wisconsin diagnostic breast cancer set, which scikit-learn
carries (Street, Wolberg and Mangasarian, "Nuclear feature extraction for breast tumor diagnosis",
SPIE 1993): for each, the mean, the standard error and the "worst" (mean of the three largest) of
ten measurements on the cell nuclei of one sample.

Each party's file is in an order of its own, misses some of the people, and holds some whom nobody
else has, because real files do.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DEMO_SEED = 20

# Four weak columns: alone they reach a held-out AUC of about 0.77. The clinic has the label and
# needs the others.
CLINIC = ("mean smoothness", "mean symmetry", "mean fractal dimension", "texture error")
# The other means, and the standard errors of what the clinic has.
IMAGING = (
    "mean radius", "mean texture", "mean perimeter", "mean area", "mean compactness",
    "mean concavity", "mean concave points", "smoothness error", "symmetry error",
)  # fmt: skip
# Left out: the standard errors of radius, perimeter, area, concavity and fractal dimension, and
# worst area. In them a few people are so far from all others that one row has more than half of
# the leverage within the party's columns, and security: arbiter refuses such a row: the gradient it
# opens would be nearly that person's own data.
LABORATORY = (
    "worst radius", "worst texture", "worst perimeter", "worst smoothness", "worst compactness",
    "worst concavity", "worst concave points", "worst symmetry", "worst fractal dimension",
    "compactness error", "concave points error",
)  # fmt: skip

MISSING_SHARE = 0.06  # of the real people, in each party's file
STRANGERS = 25  # made-up people in each party's file

DEMO_JOB = """\
# Who may come back with a malignant finding? Three organisations hold different columns about the
# same people, and none of them shows its columns to the others.
name: breast-cancer

parties:
  # Holds the label (1 = malignant) and four weak columns: the active party.
  - {name: clinic, data: clinic.csv, id: patient, label: malignant}
  # Hold features only: passive parties. Files are relative to this one.
  - {name: imaging, data: imaging.csv, id: patient}
  - {name: laboratory, data: laboratory.csv, id: patient}

model: {type: logistic_regression, l2: 0.01}
security: shared
crypto: auto
"""

GENERATED_JOB = """\
# A generated table for benchmarks: correlated columns, labels from a logistic model of all of them.
name: generated

parties:
  - {name: guest, data: guest.csv, id: id, label: y}
  - {name: host, data: host.csv, id: id}
  - {name: arbiter, role: arbiter}

model: {type: logistic_regression, l2: 0.01, optimizer: adam, learning_rate: 0.1, epochs: 2}
security: arbiter
crypto: auto
"""


def write_breast_cancer_job(folder: str | Path, seed: int | None = None) -> Path:
    """Write clinic.csv, imaging.csv, laboratory.csv and job.yaml into `folder`; the job's path.

    Without a seed the files are the same every time; a seed draws other gaps, other made-up people
    and another order. Raises `JobError` where a different file of one of these names exists.
    """
    from sklearn.datasets import load_breast_cancer

    bundle = load_breast_cancer()
    position = {str(name): k for k, name in enumerate(bundle.feature_names)}
    malignant = (bundle.target == 0).astype(np.float64)
    rng = np.random.default_rng(DEMO_SEED if seed is None else seed)

    people = len(malignant)
    number = rng.permutation(people + 3 * STRANGERS) + 1  # a person's number says nothing
    ids = np.array([f"P{n:04d}" for n in number])
    files = {"job.yaml": DEMO_JOB}
    for party, (name, columns) in enumerate(
        {"clinic": CLINIC, "imaging": IMAGING, "laboratory": LABORATORY}.items()
    ):
        real = bundle.data[:, [position[c] for c in columns]]
        header = ["patient", *(c.replace(" ", "_") for c in columns)]
        if name == "clinic":
            real = np.column_stack([real, malignant])
            header.append("malignant")
        present = rng.permutation(people)[: round(people * (1 - MISSING_SHARE))]
        # A stranger takes each value from another person, so that it is nobody's row.
        strangers = np.column_stack([rng.choice(column, STRANGERS) for column in real.T])
        first = people + party * STRANGERS
        both = np.concatenate([ids[present], ids[first : first + STRANGERS]])
        values = np.vstack([real[present], strangers])
        files[f"{name}.csv"] = _csv(header, *_shuffled(both, values, rng))
    return _write(Path(folder), files)


def write_generated_job(
    folder: str | Path, rows: int, guest_features: int, host_features: int, seed: int
) -> Path:
    """Write guest.csv, host.csv and job.yaml of `generated_tables`; the job's path.

    Raises `JobError` as `write_breast_cancer_job` does.
    """
    tables = generated_tables(rows, guest_features, host_features, seed)
    files = {f"{name}.csv": _csv(header, ids, X) for name, (header, ids, X) in tables.items()}
    return _write(Path(folder), files | {"job.yaml": GENERATED_JOB})


def generated_tables(
    rows: int, guest_features: int, host_features: int, seed: int
) -> dict[str, tuple[list[str], NDArray[np.str_], NDArray[np.float64]]]:
    """Names of columns, ids and values (rows, f) of guest, with label y in {0, 1} last, and host.

    90 % of the rows are of people in both, in orders that say nothing. Columns share a few common
    factors, within and across the parties.
    """
    rng = np.random.default_rng(seed)
    both = round(0.9 * rows)
    people = 2 * rows - both
    features = guest_features + host_features
    common = min(8, features)
    factors = rng.standard_normal((people, common))
    loading = rng.standard_normal((common, features)) / np.sqrt(common)
    X = factors @ loading + 0.7 * rng.standard_normal((people, features))
    # Standard deviation 2 of the log-odds: an AUC near 0.87 for the model that knows the weights.
    score = X @ rng.standard_normal(features)
    y = (rng.random(people) < 1 / (1 + np.exp(-2 * score / score.std()))).astype(np.float64)

    ids = np.array([f"id{n}" for n in rng.permutation(people)])
    of_guest = np.arange(rows)
    of_host = np.concatenate([np.arange(both), np.arange(rows, people)])
    guest = np.column_stack([X[of_guest, :guest_features], y[of_guest]]).round(6)
    host = X[of_host, guest_features:].round(6)
    guest_header = ["id", *(f"g{k}" for k in range(guest_features)), "y"]
    host_header = ["id", *(f"h{k}" for k in range(host_features))]
    return {
        "guest": (guest_header, *_shuffled(ids[of_guest], guest, rng)),
        "host": (host_header, *_shuffled(ids[of_host], host, rng)),
    }


def _shuffled(
    ids: NDArray[np.str_], values: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    order = rng.permutation(len(ids))
    return ids[order], values[order]


def _csv(header: Sequence[str], ids: NDArray[np.str_], values: NDArray[np.float64]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for name, row in zip(ids.tolist(), values.tolist(), strict=True):
        writer.writerow([name, *(int(x) if x.is_integer() else x for x in row)])
    return text.getvalue()


def _write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        if path.exists() and path.read_bytes() != content.encode():
            raise JobError(
                f"{path} exists and is another file; choose another folder, or remove it first"
            )
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())
    return folder / "job.yaml"
