"""How many rounds and bytes it takes to come within 1e-3 of the least loss.

Block steps with a fixed Hessian, as the protocol on shares takes them (`models.clear`, no cipher),
against mini-batch gradient descent on batches of 1,024 rows at the best of several rates. The loss
is the mean logistic loss with its ridge, over the least one by scikit-learn. Bytes and seconds are
those counts times what a round costs: on shares, and of a batch under `security: arbiter`, both
measured with the lattice in one process. The descent is given the exact logistic gradient, better
than the expansion that an arbiter's protocol has to use.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vfl
from vfl.api import ledger_entries
from vfl.models import linear
from vfl.models.clear import fit_blocks
from vfl.models.families import LOGISTIC
from vfl.plaintext import pool
from vfl.spec import LogisticRegression, check_job
from vfl_bench import coordinated, paillier_bytes
from vfl_bench.end_to_end import CREDIT, Work, train
from vfl_bench.harness import Row
from vfl_bench.tables import Tables, generated, published
from vfl_crypto.lattice.parameters import WIDE
from vfl_crypto.security import SECURITY_BITS

GAP = 1e-3
BATCH = 1024
RATES = (0.03, 0.1, 0.3, 1.0, 3.0)
L2 = 1e-3
CIPHER = {"parameters": str(WIDE), "security_bits": SECURITY_BITS}
MOST_ROUNDS = 200
MOST_PASSES = 100

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Logistic regression: columns X (n, f) of which the first `own` are the active party's."""

    X: Vector
    y: Vector  # (n,) in {-1, +1}
    own: int

    def loss(self, w: Vector, intercept: float) -> float:
        """Mean logistic loss and ridge at weights (f,)."""
        losses = np.logaddexp(0.0, -self.y * (self.X @ w + intercept))
        return float(losses.mean() + L2 / 2 * w @ w)

    def least(self) -> float:
        """The least loss, by scikit-learn."""
        from sklearn.linear_model import LogisticRegression as Oracle

        oracle = Oracle(C=1 / (L2 * len(self.y)), tol=1e-10, max_iter=10_000).fit(self.X, self.y)
        return self.loss(oracle.coef_[0], float(oracle.intercept_[0]))


def on_shares(problem: Problem, goal: float) -> int:
    """Rounds of block steps until the loss is at most `goal`."""
    own, other = problem.X[:, : problem.own], problem.X[:, problem.own :]
    n = len(problem.y)
    target, weight = (problem.y[:, None] + 1) / 2, np.ones(n)
    for rounds in range(1, MOST_ROUNDS + 1):
        fit = fit_blocks(
            [other], own, target, weight, LOGISTIC, l2=L2, rounds=rounds, tolerance=0.0
        )
        w = np.concatenate([fit.own[:, 0], fit.blocks[0][:, 0]])
        if problem.loss(w, float(fit.intercept[0])) <= goal:
            return rounds
    raise vfl.VflError(f"no gap of {GAP} within {MOST_ROUNDS} rounds")


def descent(problem: Problem, goal: float, rate: float) -> int | None:
    """Batches of gradient descent until the loss is at most `goal`; None if it takes too long."""
    w, intercept = np.zeros(problem.X.shape[1]), 0.0
    batches = linear.batches(len(problem.y), BATCH)
    for step, batch in enumerate(itertools.chain(*[batches] * MOST_PASSES), 1):
        X, y = problem.X[batch], problem.y[batch]
        residual = -y * linear.sigmoid(-y * (X @ w + intercept))
        w = w - rate * (X.T @ residual / len(y) + L2 * w)
        intercept -= rate * float(residual.mean())
        if problem.loss(w, intercept) <= goal:
            return step
    return None


@dataclass(frozen=True)
class Cost:
    """Of one round: seconds and bytes; of a training, bytes once."""

    seconds: float
    bytes: float
    key_bytes: int


def rows(data: Path | None, name: str, folder: Path) -> list[Row]:
    """Both ways on default_credit or its shape, the block steps first."""
    tables = published(data, name) if data else generated(folder / "rounds", *CREDIT)
    problem = pooled(tables)
    goal = problem.least() + GAP
    steps = {rate: descent(problem, goal, rate) for rate in RATES}
    reached = {rate: count for rate, count in steps.items() if count}
    if not reached:
        raise vfl.VflError(f"no rate of {RATES} comes within {GAP} in {MOST_PASSES} passes")
    rate = min(reached, key=reached.__getitem__)
    ways = {
        "fixed Hessian, shared": (on_shares(problem, goal), cost_on_shares(tables, folder), {}),
        f"SGD {BATCH}, arbiter": (
            reached[rate], cost_of_a_batch(tables, folder),
            {"rate": rate, "passes": reached[rate] * BATCH / len(problem.y)},
        ),
    }  # fmt: skip
    found = []
    for peer, (count, cost, more) in ways.items():
        seconds, total = count * cost.seconds, count * cost.bytes + cost.key_bytes
        facts = {
            "rows": len(problem.y), "gap": GAP, "rounds": count, "training_bytes": total,
            "round_bytes": cost.bytes, "key_bytes": cost.key_bytes, "training_s": seconds,
            "round_s": cost.seconds, **CIPHER, **more,
        }  # fmt: skip
        us = seconds * 1e6
        name = f"end-to-end/{tables.name}/gap={GAP:g}"
        found.append(Row(name, peer, "training", us, us, us, us, count, facts, {}))
    return [replace(row, ratio_to=_ratios(row, found)) for row in found]


def _ratios(row: Row, found: list[Row]) -> dict[str, float]:
    (other,) = (one for one in found if one is not row)
    parts = {"": "training_s", " bytes": "training_bytes", " rounds": "rounds"}
    return {f"{other.peer}{part}": other.facts[f] / row.facts[f] for part, f in parts.items()}


def cost_on_shares(tables: Tables, folder: Path) -> Cost:
    """Of a round on shares: the mean of three, the key apart."""
    work = Work("rounds", tables, rounds=3, accept_score_leak=True)
    done = train(work, "lattice", "inprocess", folder / "shared")
    key = next(f.count for e in done.entries for f in e.fields if f.name == "key")
    sent = paillier_bytes.sent(done.entries).total() - key
    return Cost(done.round_s, sent / done.rounds, key)


def cost_of_a_batch(tables: Tables, folder: Path) -> Cost:
    """Of a batch of 1,024 rows under `security: arbiter`: the mean over one pass."""
    model = LogisticRegression(
        optimizer="sgd", learning_rate=0.1, epochs=1, batch_size=BATCH, tolerance=0.0
    )
    job = vfl.JobSpec(
        parties=tables.parties(), model=model, security="arbiter", crypto="lattice",
        transport="inprocess", accept_gradient_leak=True,  # small batches isolate rows
    )  # fmt: skip
    run = vfl.run_job(check_job(job), folder=folder / "arbiter")
    sent = [e for e in ledger_entries(run.folder)[0] if e.direction == "sent"]
    rounds = [e for e in sent if e.kind in coordinated.ROUND]
    count = len({e.scope for e in rounds})
    seconds = max(e.at for e in rounds) - min(e.at for e in rounds)
    return Cost(seconds / count, sum(e.bytes for e in rounds) / count, run.result.ledger.keys)


def pooled(tables: Tables) -> Problem:
    """The training rows of both files in the clear, as the parties scale them."""
    job = vfl.JobSpec(parties=tables.parties(), model=LogisticRegression(l2=L2))
    found = pool(job)
    y = found.y[: found.train]
    own = found.columns["guest"]
    return Problem(found.X[: found.train], np.where(y == y.max(), 1.0, -1.0), own.stop)


def sentence(row: Row) -> str:
    """What the row says."""
    facts, mib = row.facts, 2.0**-20
    (seconds, size, rounds) = row.ratio_to.values()
    return (
        f"{row.peer}: within {GAP:g} of the least loss after {facts['rounds']} rounds, "
        f"{facts['training_bytes'] * mib:.1f} MiB and {facts['training_s']:.2f} s "
        f"({CIPHER['parameters']}); the other takes {rounds:.2g}x the rounds, {size:.2g}x the "
        f"bytes, {seconds:.2g}x the time"
    )
