import json

import numpy as np
import pytest
from typer.testing import CliRunner

import vfl
from vfl import plaintext
from vfl.api import ledger_entries
from vfl.planner.ciphers import cipher_costs
from vfl.planner.units import STATED
from vfl.spec import CryptoSpec, LogisticRegression, check_job
from vfl_bench.cli import app
from vfl_bench.stragglers import experiment, network, stand_ins
from vfl_bench.stragglers.costs import Costs
from vfl_bench.stragglers.replay import Descent, Replay
from vfl_bench.stragglers.stand_ins import HOSTS, PARTIES, Shape
from vfl_scheduler import At
from vfl_scheduler.simulate import Scored, Stepped, Summed

SMALL = Shape("small", 600, (5, 10, 5, 10), 100)
LATTICE = Costs("lattice", cipher_costs(CryptoSpec("lattice"), STATED), STATED)


@pytest.fixture(scope="module")
def data():
    return stand_ins.stand_in(SMALL, seed=1)


def waited_for(passes, shape=SMALL):
    schedule = LATTICE.schedule(shape, passes, "none")
    return network.fluctuating("B0", schedule, 0.5, "round", 0)


def test_a_replay_that_waits_for_everybody_is_the_coordinated_training_in_the_clear(data):
    replay = Replay(data, Descent())
    auc = replay.run(waited_for(7).log)
    X, columns, begin = np.hstack(list(data.train.values())), {}, 0
    for name, part in data.train.items():
        columns[name] = slice(begin, begin + part.shape[1])
        begin += part.shape[1]
    pooled = plaintext.Pooled(X, data.label, np.ones(len(X)), columns, len(X), {})
    model = LogisticRegression(
        l2=1e-3,
        optimizer="rmsprop",
        learning_rate=0.05,
        decay=1.0,
        epochs=7,
        batch_size=100,
        tolerance=0.0,
    )
    job = vfl.JobSpec(parties=[], model=model, security="arbiter")
    theta = plaintext.train(job, pooled, 0)[:, 0]
    for name, part in columns.items():
        mine = replay.parties[name].theta[: part.stop - part.start]
        np.testing.assert_allclose(mine, theta[part], rtol=0, atol=1e-9)
    assert replay.parties["guest"].theta[-1] == pytest.approx(theta[-1], abs=1e-9)
    assert len(auc) == 7
    assert auc[-1] == replay.auc() > 0.6


def test_old_scores_stand_in_with_the_weights_they_were_made_with(data):
    """Three full rounds by hand: all new, one stale, one left out; several steps on each."""
    shape = Shape("whole", 600, SMALL.widths, None)
    whole = type(data)(shape, data.train, data.held_out, data.label, data.positive)
    ats = [At(number, 0) for number in range(3)]
    fresh, steps = [HOSTS, HOSTS[:2], HOSTS[1:]], [1, 3, 2]
    filled = [{}, {"host 3": 0}, {}]
    log = []
    for at, new, old, count in zip(ats, fresh, filled, steps, strict=True):
        log += [Scored(host, at) for host in new] + [Summed(at, new, old)]
        log += [Stepped(party, at, k) for k in range(count) for party in ("guest", *new)]
    replay = Replay(whole, Descent())
    assert len(replay.run(log)) == 3

    X = {name: part.astype(np.longdouble) for name, part in data.train.items()}
    X["guest"] = np.hstack([X["guest"], np.ones((600, 1))])
    w = {name: np.zeros(part.shape[1], np.longdouble) for name, part in X.items()}
    v = {name: np.zeros_like(one) for name, one in w.items()}
    first, before = {}, {}
    for number, (new, old) in enumerate(zip(fresh, filled, strict=True)):
        scores = {host: X[host] @ w[host] for host in new}
        first = first or scores
        z = X["guest"] @ w["guest"] + sum(scores.values()) + sum(first[host] for host in old)
        for name in ("guest", *new) * steps[number]:
            own = X[name] @ w[name]
            d = (z + own - before.setdefault((name, number), own)) / 4 - data.label / 2
            ridge = 1e-3 * w[name]
            if name == "guest":
                ridge[-1] = 0
            g = X[name].T @ d / 600 + ridge
            v[name] = 0.99 * v[name] + 0.01 * g * g
            w[name] = w[name] - 0.05 / (1 + number) ** 0.5 * g / np.sqrt(v[name] + 1e-6)
    for name in PARTIES:
        np.testing.assert_allclose(replay.parties[name].theta, w[name].astype(float), atol=1e-12)


def test_products_are_proportional_to_the_axes_that_pca_keeps(data):
    log = waited_for(2)
    counted = {}
    for ratio in experiment.KEPT:
        less = stand_ins.compressed(data, ratio)
        assert less.shape.widths == SMALL.narrowed(ratio).widths
        counted[ratio] = experiment.trained(log, less).products - 2 * 600  # the column of ones
        assert counted[ratio] == 2 * 600 * sum(less.shape.widths)
    assert counted[0.8] * 10 == counted[1.0] * 8
    assert counted[0.6] * 10 == counted[1.0] * 6


def test_all_axes_together_lose_nothing(data):
    whole = stand_ins.compressed(data, 1.0)
    for name, X in data.train.items():
        centred = X - X.mean(axis=0)
        np.testing.assert_allclose(
            whole.train[name] @ whole.train[name].T, centred @ centred.T, atol=1e-12
        )


def test_stand_ins_have_the_published_shapes():
    assert (stand_ins.MIMIC.rows, sum(stand_ins.MIMIC.widths), len(stand_ins.MIMIC.batches)) == (
        14_681,
        714,
        14,
    )
    assert (stand_ins.EPSILON.rows, sum(stand_ins.EPSILON.widths), stand_ins.EPSILON.batches) == (
        5_000,
        2_000,
        (5_000,),
    )
    quarter = stand_ins.MIMIC.scaled(0.25)
    assert quarter.widths == (28, 50, 50, 50)
    assert len(quarter.batches) == len(stand_ins.MIMIC.batches)
    found = stand_ins.stand_in(quarter)
    assert [X.shape for X in found.train.values()] == [(3670, w) for w in quarter.widths]
    assert all(len(X) == stand_ins.HELD_OUT for X in found.held_out.values())
    # 6 standard errors of a share of 3,670 rows
    assert abs((found.label > 0).mean() - 0.135) < 0.034
    square = sum((X**2).sum(axis=1).mean() for X in found.train.values())
    assert square == pytest.approx(1.0)
    again = stand_ins.stand_in(quarter)
    np.testing.assert_array_equal(found.train["host 2"], again.train["host 2"])


def test_real_columns_are_dealt_as_said(tmp_path):
    rng = np.random.default_rng(0)
    for side, width in (("guest", 13), ("host", 10)):
        X = rng.standard_normal((100, width))
        header = ["id", *(["y"] if side == "guest" else []), *(f"x{k}" for k in range(width))]
        label = [[i % 2] if side == "guest" else [] for i in range(100)]
        lines = [",".join(map(str, [i, *label[i], *X[i]])) for i in range(100)]
        path = tmp_path / f"d_hetero_{side}.csv"
        path.write_text("\n".join([",".join(header), *lines]))
    found = stand_ins.real(tmp_path, "d")
    assert found.shape.widths == (5, 8, 5, 5)
    assert (found.shape.rows, len(found.positive)) == (80, 20)


def test_messages_have_the_sizes_of_a_real_job(data, tmp_path):
    """Bytes of every kind by a ledger. Names are as long as ours: a frame holds both."""
    parties = []
    for name in PARTIES:
        table = {"id": np.arange(600)}
        table |= {f"x{k}": x for k, x in enumerate(data.train[name].T)}
        label = {"label": "y"} if name == "guest" else {}
        table |= {"y": data.label} if label else {}
        parties.append(vfl.Party(name.replace(" ", "-"), data=table, id="id", **label))
    model = LogisticRegression(epochs=2, batch_size=100, tolerance=0.0)
    job = vfl.JobSpec(
        parties=parties, model=model, security="arbiter", crypto="lattice", test_fraction=0.0,
        transport="inprocess", accept_gradient_leak=True,
    )  # fmt: skip
    run = vfl.run_job(check_job(job), folder=tmp_path / "run")
    sent = [e for e in ledger_entries(run.folder)[0] if e.direction == "sent"]
    schedule = LATTICE.schedule(SMALL, 2)
    sizes = {name: load.sizes for name, load in schedule.hosts.items()}
    sizes["guest"] = schedule.guest.sizes
    kinds = {
        "train.scores": "sender", "train.residual": "receiver", "train.gradient": "sender",
        "train.step": "receiver",
    }  # fmt: skip
    counted = 0
    for entry in sent:
        if entry.kind in kinds:
            name = getattr(entry, kinds[entry.kind]).replace("-", " ")
            assert entry.bytes == getattr(sizes[name], entry.kind.removeprefix("train."))
            counted += 1
    assert counted == 2 * 6 * (3 + 3 + 4 + 4)


def test_a_clean_network_takes_what_the_bytes_take():
    schedule = LATTICE.schedule(SMALL, 3, "none")
    slowest = max(sum(vars(load.sizes).values()) for load in schedule.hosts.values())
    seconds = 3 * 6 * (slowest * 8 / network.BANDWIDTH + 4 * network.LATENCY_S)
    clean = network.fluctuating("B0", schedule, 0.0, "round", 0)
    assert clean.ended_s == pytest.approx(seconds)
    assert network.instant("B0", schedule).ended_s < 1e-6


def test_parts_of_the_time_are_those_of_the_protocol():
    """Rounds of equal parties: score and encrypt, add, multiply and depart, open."""
    shape = Shape("equal", 600, (9, 10, 10, 10), 100)
    parts = experiment.parts("B0", LATTICE, shape, 0.0, experiment.Setting(passes=3))
    batch = LATTICE.cipher.batch(100, 10)
    forward = 100 * 10 * STATED.entry
    rounds = 3 * 6
    opened = batch.encrypt + batch.onto + 2 * batch.add + batch.depart + batch.open
    assert parts.computation == pytest.approx(rounds * (forward + batch.product))
    assert parts.encryption == pytest.approx(rounds * opened)


def test_more_backups_take_less_time_and_everybody_meets_the_same_draws():
    setting = experiment.Setting(passes=10, seeds=3)
    times, runs = experiment.sweep(LATTICE, SMALL, setting)
    for granularity in network.GRANULARITIES:
        for probability in (0.25, 0.5):
            b0, b1, b2 = (
                times[granularity, probability, policy] for policy in ("B0", "B1 stale", "B2 stale")
            )
            assert b0.relative > b1.relative > b2.relative
            assert b0.saving == 0.0 < b1.saving < b2.saving
        clean = times[granularity, 0.0, "B0"]
        assert clean.relative == 1.0
        assert clean.fresh == (1.0, 1.0, 1.0)
        ours = times[granularity, 0.5, "ours"]
        assert ours.least_fresh >= 0.25
        assert ours.oldest <= 3
        local = times[granularity, 0.5, "ours, local steps"]
        assert 0.0 < local.saving < ours.saving  # as many rounds, and more to send in each
        assert len(runs[granularity, 0.5, "ours"]) == 3


def test_the_command_writes_tables_figures_and_rows(tmp_path):
    arguments = ["stragglers", "--crypto", "lattice", "--scale", "0.02", "--passes", "3"]
    arguments += ["--seeds", "2", "--plot", str(tmp_path), "--json", str(tmp_path / "r.json")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    for heading in ("Fig. 3", "Fig. 4", "Figs. 5 to 7", "Table 1", "What was to be shown"):
        assert heading in done.output
    assert "first in first out" in done.output
    assert "2.86 / 7.34" in done.output
    for name in ("where-time-goes", "communication", "auc"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((tmp_path / "r.json").read_text())
    rows = {row["name"]: row for row in written["benchmarks"]}
    ours = rows["stragglers/communication/mimic-iii/round/p=0.5/ours"]
    b0 = rows["stragglers/communication/mimic-iii/round/p=0.5/B0"]
    assert ours["security_bits"] == 128
    assert ours["ratio_to"]["B0"] > 1.0
    assert ours["saving"] > b0["saving"] == 0.0
    local = rows["stragglers/communication/mimic-iii/round/p=0.5/ours, local steps"]
    assert {"saving", "auc_loss", "ratio_to"} <= local.keys()
    assert len(written["auc"]["mimic-iii"]["ours, local steps"]["after_pass"]) == 3
    assert rows["stragglers/table-1/mimic-iii/lattice/backup"]["saving"] > 0.0
    assert len(written["auc"]["epsilon"]["B0"]["after_pass"]) == 3
    assert "10 Mbit/s" in written["emulator"]
    assert written["claims"][0]["text"] == "more backups take less time"
