"""The demo's data set is what the demo says of it: real, incomplete, shuffled, worth joining."""

import csv
from itertools import pairwise

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from vfl.data.bundled import write_breast_cancer_job, write_generated_job
from vfl.data.pooled import pooled_table
from vfl.data.preprocess import Preprocessor
from vfl.data.table import check_binary_label, read_table
from vfl.errors import JobError


def tables(job):
    """The data parties of a job file, read as it says."""
    return [
        read_table(
            job.parent / party["data"],
            party=party["name"],
            id=party["id"],
            label=party.get("label"),
        )
        for party in yaml.safe_load(job.read_text())["parties"]
        if "data" in party
    ]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return tables(write_breast_cancer_job(tmp_path_factory.mktemp("demo")))


def split_and_scale(X, y, seed):
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed)
    fitted = Preprocessor.fit(X[train], [str(k) for k in range(X.shape[1])], party="all")
    return fitted.transform(X[train]), y[train], fitted.transform(X[test]), y[test]


def test_the_job_file_says_who_takes_part(tmp_path):
    path = write_breast_cancer_job(tmp_path / "new" / "folder")
    job = yaml.safe_load(path.read_text())
    assert path.name == "job.yaml" and path.read_text().startswith("#")
    assert job == {
        "name": "breast-cancer",
        "parties": [
            {"name": "clinic", "data": "clinic.csv", "id": "patient", "label": "malignant"},
            {"name": "imaging", "data": "imaging.csv", "id": "patient"},
            {"name": "laboratory", "data": "laboratory.csv", "id": "patient"},
        ],
        "model": {"type": "logistic_regression", "l2": 0.01},
        "security": "shared",
        "crypto": "auto",
    }


def test_parties_share_most_people_and_each_has_some_of_its_own(demo):
    sets = [set(table.ids) for table in demo]
    common = set.intersection(*sets)
    assert 440 <= len(common) <= 500
    for k, own in enumerate(sets):
        others = set.union(*(s for j, s in enumerate(sets) if j != k))
        assert len(own - others) >= 25 and len(own - common) >= 50
    assert all(len(i) == 5 and i.startswith(b"P") for i in set.union(*sets))


def test_each_file_has_an_order_of_its_own(demo):
    common = set.intersection(*(set(table.ids) for table in demo))
    orders = [[i for i in table.ids if i in common] for table in demo]
    orders.append(sorted(common))
    for k, first in enumerate(orders):
        for second in orders[:k]:
            agree = np.mean([a == b for a, b in zip(first, second, strict=True)])
            assert agree < 0.03


def test_no_two_parties_hold_the_same_column(demo):
    names = [name for table in demo for name in table.names]
    assert [len(table.names) for table in demo] == [4, 9, 11] and len(set(names)) == 24
    assert [table.label_name for table in demo] == ["malignant", None, None]


def test_joined_rows_are_the_real_people_of_the_data_set(demo):
    """Every pooled row is one row of scikit-learn's copy, label included; none is made up."""
    X, y, names = pooled_table(demo)
    bundle = load_breast_cancer()
    position = {name.replace(" ", "_"): k for k, name in enumerate(bundle.feature_names)}
    order = [position[name.split(".")[1]] for name in names]
    real = {
        tuple(row): 1 - target
        for row, target in zip(bundle.data[:, order], bundle.target, strict=True)
    }
    assert len(real) == 569
    assert [real[tuple(row)] for row in X] == y.tolist()
    assert len({tuple(row) for row in X}) == len(X)


def test_made_up_people_are_nobody(demo):
    """A stranger's values come from different people."""
    bundle = load_breast_cancer()
    position = {name.replace(" ", "_"): k for k, name in enumerate(bundle.feature_names)}
    for table in demo:
        real = {tuple(row) for row in bundle.data[:, [position[name] for name in table.names]]}
        assert sum(tuple(row) not in real for row in table.values) == 25


def test_the_joint_model_wins_by_far(demo):
    X, y, _ = pooled_table(demo)
    alone, joint = [], []
    for seed in range(10):
        A, b, C, d = split_and_scale(X, y, seed)
        for scores, columns in ((alone, slice(0, 4)), (joint, slice(None))):
            model = LogisticRegression(C=1 / (0.01 * len(b)), max_iter=2000)
            model.fit(A[:, columns], b)
            scores.append(roc_auc_score(d, model.decision_function(C[:, columns])))
    assert np.mean(alone) < 0.85 and np.mean(joint) > 0.97 and min(joint) > 0.94


def test_no_row_has_more_than_half_of_a_partys_leverage(demo):
    """h_i = x_i (X^T X)^-1 x_i^T on standardised training rows, by two ways of computing it."""
    X, y, _ = pooled_table(demo)
    edges = np.cumsum([0, *(len(table.names) for table in demo)])
    for seed in range(40):
        train = split_and_scale(X, y, seed)[0]
        for first, last in pairwise(edges):
            part = train[:, first:last]
            hat = np.einsum("ij,ji->i", part, np.linalg.pinv(part))
            np.testing.assert_allclose(hat, (np.linalg.qr(part)[0] ** 2).sum(axis=1), atol=1e-8)
            assert hat.max() < 0.45


def test_without_a_seed_the_files_are_always_the_same(tmp_path):
    first = write_breast_cancer_job(tmp_path / "a")
    second = write_breast_cancer_job(tmp_path / "b")
    third = write_breast_cancer_job(tmp_path / "c", seed=5)
    for name in ("clinic.csv", "imaging.csv", "laboratory.csv", "job.yaml"):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
    assert tables(first)[0].digest != tables(third)[0].digest


def test_a_file_that_somebody_changed_is_not_overwritten(tmp_path):
    job = write_breast_cancer_job(tmp_path)
    write_breast_cancer_job(tmp_path)  # the same again is no loss
    (tmp_path / "imaging.csv").write_text("mine")
    job.unlink()
    with pytest.raises(JobError, match=r"imaging\.csv exists and is another file; choose another"):
        write_breast_cancer_job(tmp_path)
    assert (tmp_path / "imaging.csv").read_text() == "mine" and not job.exists()


def test_a_generated_job_has_the_shape_asked_for(tmp_path):
    job = write_generated_job(tmp_path, rows=2000, guest_features=5, host_features=12, seed=1)
    guest, host = tables(job)
    assert guest.values.shape == (2000, 5) and host.values.shape == (2000, 12)
    assert len(set(guest.ids) & set(host.ids)) == 1800
    signs, classes = check_binary_label(guest.label, party="guest", source="guest.csv", name="y")
    assert classes == (0.0, 1.0) and 0.4 < (signs > 0).mean() < 0.6
    assert guest.ids[:50] != host.ids[:50]
    with (tmp_path / "host.csv").open() as file:
        assert next(csv.reader(file)) == ["id", *(f"h{k}" for k in range(12))]


def test_generated_labels_need_both_parties_and_columns_are_correlated(tmp_path):
    X, y, _ = pooled_table(tables(write_generated_job(tmp_path, 4000, 4, 12, seed=2)))
    A, b, C, d = split_and_scale(X, y, 0)
    alone, joint = (
        roc_auc_score(d, LogisticRegression().fit(A[:, c], b).decision_function(C[:, c]))
        for c in (slice(0, 4), slice(None))
    )
    assert 0.8 < joint < 0.92 and joint > alone + 0.03
    correlation = np.abs(np.corrcoef(X.T) - np.eye(16))
    assert correlation[:4, 4:].max() > 0.2  # also across the parties


def test_a_generated_job_is_fixed_by_its_seed(tmp_path):
    digests = [
        tables(write_generated_job(tmp_path / str(k), 100, 2, 3, seed))[1].digest
        for k, seed in enumerate((1, 1, 2))
    ]
    assert digests[0] == digests[1] != digests[2]
