"""Several steps on one residual: weights by hand, by replay, under a cipher; bad numbers."""

from __future__ import annotations

import dataclasses
import itertools

import emulated
import msgspec
import numpy as np
import plaintext
import pytest
from emulated import PASSIVES, emulate, straggling_job, weights
from tampering import field, tampering

import vfl
from vfl.api import ledger_entries
from vfl.errors import ProtocolError
from vfl.messages import Public
from vfl.parties import coordinated
from vfl.protocols import desk
from vfl.protocols.arbiter_messages import Gradient, Residual, Scores, Step
from vfl.protocols.contributions import round_of
from vfl.spec import ScheduleSpec
from vfl_bench.stragglers.replay import Descent, Replay
from vfl_bench.stragglers.stand_ins import Data, Shape
from vfl_crypto import release
from vfl_crypto.oracles.mock import MockScheme
from vfl_scheduler import Adaptive, Deadline, Link, LinkModel, UnitCosts
from vfl_scheduler.simulate import (
    GUEST,
    Load,
    Schedule,
    Scored,
    Seconds,
    Sizes,
    Stepped,
    Summed,
    simulate,
)

ALL_NEW = ScheduleSpec("adaptive", min_fresh=1.0, local_steps=4)
FREELY = ScheduleSpec("adaptive", local_steps=4)


@pytest.fixture
def always(monkeypatch):
    """So many steps a round, whatever the clock says."""

    def choose(steps):
        monkeypatch.setattr(Adaptive, "steps", lambda *_: steps)

    return choose


def standardised(tables):
    """Columns by party, with the intercept's at the bank, and labels -1 or 1: rows that train."""
    _, columns, label = plaintext.joined(tables, 0)
    n = len(label) - round(len(label) * 0.2)
    X = {name: (v[:n] - v[:n].mean(axis=0)) / v[:n].std(axis=0) for name, v in columns.items()}
    return X, np.where(label[:n] > 0.5, 1.0, -1.0)


def by_hand(tables, *, steps, epochs, optimizer, rate, l2=1e-3, batches=1):
    """Each party by itself, `steps` times on a residual in which only its own score moves."""
    X, y = standardised(tables)
    X["bank"] = np.hstack([X["bank"], np.ones((len(y), 1))])
    theta = {name: np.zeros(values.shape[1]) for name, values in X.items()}
    ridge = {name: np.full(values.shape[1], l2) for name, values in X.items()}
    ridge["bank"][-1] = 0.0
    move = {name: plaintext.optimiser(optimizer, rate) for name in X}
    opening = plaintext.Opening(16)
    edges = [round(len(y) * i / batches) for i in range(batches + 1)]
    for _ in range(epochs):
        for a, b in itertools.pairwise(edges):
            score = {name: values[a:b] @ theta[name] for name, values in X.items()}
            for name, values in X.items():
                others = sum(score[other] for other in X if other != name)
                for _ in range(steps):
                    d = (others + values[a:b] @ theta[name]) / 4 - y[a:b] / 2
                    opened = opening(
                        values[a:b].T @ d + (b - a) * ridge[name] * theta[name], (name, a)
                    )
                    theta[name] = theta[name] - move[name](opened / (b - a))
    return theta


def check_same(run, theta, tolerance=1e-9):
    models = {name: coefficients(run, name) for name in theta}
    for name, expected in theta.items():
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(models[name], expected, rtol=0, atol=tolerance)


def coefficients(run, name):
    model = msgspec.json.decode((run.folder / name / "model.json").read_bytes())
    own = np.array(model["weights"])[:, 0]
    return np.append(own, model["intercept"]) if name == "bank" else own


@pytest.mark.parametrize(
    ("optimizer", "steps", "epochs", "batches"),
    [("sgd", 4, 1, 1), ("momentum", 3, 3, 2), ("rmsprop", 3, 3, 2), ("adam", 4, 2, 1)],
)
def test_each_party_alone_takes_the_steps_that_are_computed_by_hand(
    small_job, tmp_path, always, optimizer, steps, epochs, batches
):
    always(steps)
    model = vfl.LogisticRegression(
        optimizer=optimizer, learning_rate=0.05, epochs=epochs, tolerance=0.0,
        batch_size=96 // batches,
    )  # fmt: skip
    small = small_job(passives=2, model=model, schedule=ALL_NEW, accept_gradient_leak=True)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    assert run.result.opened == steps * epochs * batches * (3 + 3 + 4)
    options = {"optimizer": optimizer, "rate": 0.05, "batches": batches}
    check_same(run, by_hand(small.tables, steps=steps, epochs=epochs, **options))
    with pytest.raises(AssertionError):
        check_same(run, by_hand(small.tables, steps=1, epochs=epochs, **options))


def test_the_lattice_takes_the_same_steps_up_to_its_fixed_point(small_job, tmp_path, always):
    always(3)
    model = vfl.LogisticRegression(optimizer="sgd", epochs=3, tolerance=0.0)
    small = small_job(
        passives=2, model=model, schedule=ALL_NEW, crypto="lattice", accept_gradient_leak=True
    )
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    expected = by_hand(small.tables, steps=3, epochs=3, optimizer="sgd", rate=0.1)
    check_same(run, expected, tolerance=1e-3)  # entries of X in steps of 2^-10


def happenings(ours):
    """What had an effect on weights, in the order of its messages."""
    made = {ended.at: ended for ended in ours.rounds}
    names = {"bank": GUEST}
    summed = set()
    for sender, to, scope, message in ours.sent:
        if not isinstance(message, Scores | Residual | Gradient | Step):
            continue
        at = round_of(scope, sender)
        if isinstance(message, Scores) and "/again/" not in scope:
            yield Scored(sender, at)
        elif isinstance(message, Residual | Gradient) and at not in summed:
            ended = made[at]
            filled = {name: at.number - age for name, age in ended.ages.items()}
            summed.add(at)
            yield Summed(at, tuple(ended.arrived), filled)
        elif isinstance(message, Step) and message.values.value.size:
            local = int(scope.partition("/local/")[2] or 0)
            yield Stepped(names.get(to, to), at, local)


def test_a_run_among_stragglers_is_the_replay_of_its_messages(monkeypatch, small_job, tmp_path):
    monkeypatch.setattr(desk, "OPENED_BITS", 52)  # a replay does not round
    monkeypatch.setattr(release, "MAX_SIGNIFICANT_BITS", 52)
    small = []

    def building(**options):
        small.append(small_job(**options))
        return small[-1]

    job = straggling_job(building, FREELY)
    ours = emulate(monkeypatch, job, tmp_path / "run")
    log = list(happenings(ours))
    counts = {ended.steps for ended in ours.rounds}
    assert counts >= {1, 2, 3} and any(ended.ages for ended in ours.rounds)
    X, y = standardised(small[0].tables)
    X[GUEST] = X.pop("bank")
    held_out = {name: np.zeros((2, values.shape[1])) for name, values in X.items()}
    shape = Shape("job", len(y), tuple(v.shape[1] for v in X.values()), 150)
    data = Data(shape, X, held_out, y, np.array([True, False]), None)
    replay = Replay(data, Descent(decay=0.0))
    replay.run(log)
    check_same(ours.run, {
        name: replay.parties[GUEST if name == "bank" else name].theta
        for name in ("bank", *PASSIVES)
    })  # fmt: skip


def test_on_steady_links_a_run_takes_the_rounds_and_the_time_of_its_simulation(
    monkeypatch, emulation
):
    free = {"read": 0.0, "align": 0.0, "encrypt": 0.0}  # parties do not queue at the arbiter
    monkeypatch.setattr(emulated, "COSTS", UnitCosts(free | {"compute": 0.001}, {}))
    hosts, steady = LinkModel(1e6, 0.02), LinkModel(2e6, 0.01)
    ours = emulation(msgspec.structs.replace(ALL_NEW, local_steps=8), link=hosts, epochs=4)
    first, sizes = {}, {}
    for entry in ledger_entries(ours.run.folder)[0]:
        if entry.direction == "sent" and entry.scope == "train/0/0":
            first[entry.kind, entry.sender, entry.receiver] = entry.bytes
    for name in ("bank", *PASSIVES):
        sizes[name] = Sizes(
            first.get(("train.scores", name, "bank"), 0),
            first.get(("train.residual", "bank", name), 0),
            first["train.gradient", name, "arbiter"], first["train.step", "arbiter", name],
        )  # fmt: skip
    work = Seconds(gradient=0.001, local=0.001)
    loads = {name: Load(size, work) for name, size in sizes.items()}
    guest = loads.pop("bank")

    def connect(sender, receiver):
        model = hosts if {sender, receiver} & loads.keys() else steady
        return Link(model, seed=1, name=f"{sender}->{receiver}")

    policy = Adaptive(deadline=Deadline(1e6), min_fresh=1.0, local_steps=8)
    told = simulate(policy, Schedule(4, 4, guest, loads), connect).records
    assert [r.at for r in told] == [e.at for e in ours.rounds]
    assert [r.steps for r in told] == [e.steps for e in ours.rounds]
    assert len({record.steps for record in told}) > 3
    for simulated, real in zip(told[1:], ours.rounds[1:], strict=True):  # the first waits for keys
        waited_s = simulated.decided_s - simulated.started_s
        assert real.ended_s - real.started_s == pytest.approx(waited_s, abs=0.003)


def test_under_a_new_key_a_party_stops_at_the_step_that_is_void(emulation, monkeypatch):
    monkeypatch.setattr(coordinated, "make_scheme", lambda _: MockScheme(openings=400))
    ours = emulation(FREELY, seed=3)
    assert ours.run.ledger.clean and len(ours.rounds) == 20
    assert len({message.values.key_id for _, _, message in ours.messages(Residual)}) > 1
    void = {
        (to, scope) for _, to, scope, message in ours.sent
        if isinstance(message, Step) and not message.values.value.size
    }  # fmt: skip
    gradients = {(name, scope) for name, scope, _ in ours.messages(Gradient)}
    for name, scope in void:
        at, _, local = scope.partition("/local/")
        assert (name, f"{at}/local/{int(local or 0) + 1}") not in gradients
    assert void, "no step was void: the test tests nothing"
    assert ours.run.metrics["auc"] > 0.9


def test_every_gradient_says_how_many_follow_it(emulation):
    ours = emulation(FREELY, epochs=2)
    steps = {ended.at: ended.steps for ended in ours.rounds}
    taken = {}
    for name, scope, message in ours.messages(Gradient):
        at = round_of(scope, name)
        taken.setdefault((name, at), []).append(message.left.value)
    for (_, at), left in taken.items():
        assert left == list(range(steps[at]))[::-1]
    assert all((("bank", at) in taken) for at in steps)


def test_with_one_step_at_most_everything_is_as_without_the_key(emulation):
    usual, ours = (
        emulation(ScheduleSpec("adaptive", **more), epochs=2) for more in ({}, {"local_steps": 1})
    )
    assert usual.network.log == ours.network.log
    assert weights(usual) == weights(ours)
    assert not [scope for _, scope, _ in ours.messages(Gradient) if "/local/" in scope]


BAD = {
    "none": ("bank", "residual", field(steps=0), "asked for 0 steps"),
    "negative": ("bank", "residual", field(steps=-3), "asked for -3 steps"),
    "too many": ("bank", "residual", field(steps=5), r"local_steps allows 4"),
    "vast": ("bank", "residual", field(steps=1 << 63), r"local_steps allows 4"),
    "left, too many": ("p0", "gradient", field(left=4), r"with 4 more to follow"),
    "left, negative": ("bank", "gradient", field(left=-1), r"with -1 more to follow"),
    "left, vast": ("p1", "gradient", field(left=1 << 63), r"0 to 3 was expected"),
    "left, a truth": ("p1", "gradient", field(left=True), "bad 'left'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_number_of_steps_that_was_not_agreed_on_is_refused(small_job, tmp_path, case):
    party, kind, change, says = BAD[case]
    small = small_job(passives=2, schedule=ALL_NEW, accept_gradient_leak=True)
    with (
        tampering(party, f"train.{kind}", change),
        pytest.raises(ProtocolError, match=says),
    ):
        vfl.run_job(small.job, folder=tmp_path / "run")


@pytest.mark.parametrize("party", ["bank", "p0"])
def test_local_steps_that_do_not_follow_as_announced_are_refused(
    small_job, tmp_path, always, party
):
    always(3)
    small = small_job(passives=2, schedule=ALL_NEW, accept_gradient_leak=True)

    def shorter(message):
        assert message.left.value == 1
        return dataclasses.replace(message, left=Public(0))

    with (
        tampering(party, "train.gradient", shorter, at=1),
        pytest.raises(ProtocolError, match=r"0/local/1 with 0 more.* with 1 to 1 was expected"),
    ):
        vfl.run_job(small.job, folder=tmp_path / "run")
