"""A category of one person opens that person's label; rare categories in one column do not."""

import msgspec
import numpy as np
import pytest

import vfl
from vfl import job_checks
from vfl.data.encode import encode
from vfl.data.preprocess import Preprocessor
from vfl.data.table import read_table
from vfl.errors import JobError, SecurityError
from vfl.parties.base import StoredModel
from vfl.spec import OneHotSpec, check_job

ROWS, TARGETS = 600, 20
RATE = 0.5


def tables():
    """Twenty people, ten of each label, are alone in their city; the others live in three."""
    rng = np.random.default_rng(5)
    late = rng.permutation(np.repeat([0, 1], ROWS // 2))
    city = rng.choice(["Ayr", "Bath", "Cork"], ROWS).astype(object)
    targets = np.concatenate([np.flatnonzero(late == k)[: TARGETS // 2] for k in (0, 1)])
    city[targets] = [f"Village {k}" for k in range(TARGETS)]
    ids = np.arange(ROWS)
    return (
        {"id": ids, "age": rng.normal(size=ROWS), "late": late},
        {"id": ids, "city": city},
        targets,
    )


def train(folder, bank, shop, encode_as, *, accepted):
    return vfl.run_job(
        check_job(
            vfl.JobSpec(
                parties=[
                    vfl.Party("bank", data=bank, label="late"),
                    vfl.Party("shop", data=shop, encode=encode_as),
                ],
                model=vfl.LogisticRegression(
                    l2=0.0, optimizer="sgd", learning_rate=RATE, epochs=1
                ),
                security="arbiter", crypto="mock", transport="inprocess", test_fraction=0.0,
                accept_gradient_leak=accepted,
            )
        ),
        folder=folder,
    )  # fmt: skip


def guesses(run, shop, targets):
    """What the shop makes of its first gradient: the label of each target, from x_i (X'X)^+ g.

    At the start the residual of a row is minus half its label in {-1, +1}.
    """
    stored = msgspec.json.decode(
        (run.folder / "shop" / "model.json").read_bytes(), type=StoredModel
    )
    table = read_table(shop, party="shop", id="id", categorical=["city"])
    X = Preprocessor.from_dict(stored.preprocessor).transform(encode(table, stored.codings)[0])
    gradient = -np.array(stored.weights)[:, 0] * ROWS / RATE
    return (X[targets] @ np.linalg.pinv(X.T @ X) @ gradient < 0).astype(int)


def test_a_category_of_one_person_gives_the_label_away_and_the_default_does_not(
    tmp_path, monkeypatch
):
    bank, shop, targets = tables()
    alone = OneHotSpec(min_rows=1)
    run = train(tmp_path / "off", bank, shop, alone, accepted=True)
    np.testing.assert_array_equal(guesses(run, shop, targets), bank["late"][targets])

    with pytest.raises(JobError, match="min_rows must be at least 10"):
        train(tmp_path / "guard", bank, shop, alone, accepted=False)
    with monkeypatch.context() as patch:
        patch.setattr(job_checks, "MIN_CATEGORY", 1)  # past the first guard, the second one stands
        with pytest.raises(SecurityError, match="leverage above"):
            train(tmp_path / "guard", bank, shop, alone, accepted=False)

    run = train(tmp_path / "on", bank, shop, "one_hot", accepted=False)
    found = guesses(run, shop, targets)
    assert (found == bank["late"][targets]).sum() == TARGETS // 2  # they all look alike
