"""A job file that cannot be carried out is refused before anything starts, with the key named."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import vfl
from vfl import job_checks, spec
from vfl.errors import JobError
from vfl.job_checks import problems
from vfl.spec import JobSpec, PartySpec, check_job, json_schema, load_job
from vfl_crypto.lattice.scheme import TERMS

BANK = {"name": "bank", "data": "bank.csv", "label": "y"}
SHOP = {"name": "shop", "data": "shop.csv"}
NOTARY = {"name": "notary", "role": "arbiter"}
GOOD = {"parties": [BANK, SHOP], "model": {"type": "logistic_regression"}}
ARBITER = {"security": "arbiter"}
OPEN = {"security": "open"}
LINEAR = GOOD | {"model": {"type": "linear_regression"}}


def load(tmp_path, job) -> JobSpec:
    path = tmp_path / "job.yaml"
    path.write_bytes(job if isinstance(job, bytes) else yaml.safe_dump(job).encode())
    return load_job(path)


def parties(*changed):
    return GOOD | {"parties": list(changed)}


def model(**keys):
    return GOOD | {"model": {"type": "logistic_regression"} | keys}


def test_the_shortest_job_has_the_documented_defaults(tmp_path):
    job = load(tmp_path, GOOD)
    assert job.roster.active == "bank" and job.roster.passives == ("shop",)
    assert job.security == "shared" and job.roster.arbiter is None
    assert job.asked == spec.CryptoSpec("auto", 3072)
    assert job.transport == "ray" and job.schedule.deadline_s == 300.0
    assert job.test_fraction == 0.2 and job.folds is None and job.warm_start is None
    assert not job.accept_gradient_leak and not job.accept_score_leak


def test_a_level_with_an_arbiter_adds_one_where_nobody_is_named(tmp_path):
    job = load(tmp_path, GOOD | ARBITER)
    assert job.roster.arbiter == "arbiter" and job.roster.passives == ("shop",)
    assert job.cipher == spec.CryptoSpec("lattice", 3072)
    named = load(tmp_path, parties(BANK, SHOP, NOTARY) | ARBITER)
    assert named.roster.arbiter == "notary" and len(named.parties) == 3


def test_paths_are_taken_from_the_job_files_own_folder(tmp_path):
    job = load(tmp_path, parties(BANK, SHOP | {"data": "/data/shop.csv"}))
    assert job.party("bank").data == str(tmp_path / "bank.csv")
    assert job.party("shop").data == "/data/shop.csv"


PROBLEMS = {
    "two parties are called 'bank'": parties(BANK, SHOP, SHOP | {"name": "bank"}),
    "'a b' is no party name": parties(BANK, SHOP | {"name": "a b"}),
    "'../x' is no party name": parties(BANK, SHOP | {"name": "../x"}),
    "'' is no party name": parties(BANK, SHOP | {"name": ""}),
    "'result.json' is a file of a run": parties(BANK, SHOP | {"name": "result.json"}),
    "'../../x' is no job name": GOOD | {"name": "../../x"},
    "bank and shop both bring a label": parties(BANK, SHOP | {"label": "z"}),
    "passive party 'shop' brings a label": parties(
        SHOP | {"name": "mill"}, SHOP | {"role": "passive", "label": "z"}
    ),
    "active party 'bank' needs label:": parties(
        {"name": "bank", "data": "b.csv", "role": "active"}, SHOP
    ),
    "arbiter 'key' holds the key and may bring no data": parties(
        BANK, SHOP, {"name": "key", "role": "arbiter", "data": "k.csv"}
    ),
    "passive party 'shop' has columns: []": parties(BANK, SHOP | {"columns": []}),
    "party 'shop': encode.min_rows must be at least 10": parties(
        BANK, SHOP | {"encode": {"min_rows": 9}}
    ),
    "party 'shop': encode.min_rows must be at least 1;": parties(
        BANK, SHOP | {"encode": {"min_rows": 0}}
    )
    | {"accept_gradient_leak": True},
    "party 'bank': encode.max_levels must be at least 2": parties(
        BANK | {"encode": {"max_levels": 1}}, SHOP
    ),
    "party 'shop': encode.columns must name at least one": parties(
        BANK, SHOP | {"encode": {"columns": []}}
    ),
    "party 'shop': pca needs either ratio or variance": parties(BANK, SHOP | {"pca": {}}),
    "party 'bank': pca.ratio must lie in (0, 1]": parties(BANK | {"pca": {"ratio": 1.01}}, SHOP),
    "party 'shop': pca.variance must lie in (0, 1]": parties(BANK, SHOP | {"pca": {"variance": 0}}),
    "party 'notary': an arbiter has no columns: remove pca:": parties(
        BANK, SHOP, NOTARY | {"pca": {"ratio": 0.5}}
    )
    | ARBITER,
    "party 'shop' needs data:": parties(BANK, {"name": "shop"}),
    "exactly one party must be active": parties(SHOP, SHOP | {"name": "mill"}),
    "at least one passive party": parties(BANK),
    "only one party can be the arbiter": parties(BANK, SHOP, NOTARY, NOTARY | {"name": "l"})
    | ARBITER,
    "the name 'arbiter' is for the arbiter": parties(BANK, SHOP | {"name": "arbiter"}) | ARBITER,
    "model.epochs must be at least 1": model(epochs=0),
    "model.learning_rate must be finite and above 0": model(learning_rate=0.0),
    "model.l2 must be finite and not negative": model(l2=-1e-9),
    "model.decay must be finite and not negative": model(decay=-0.5),
    "model.decay is for security: open and arbiter": model(decay=1.0),
    "model.tolerance must be finite and not negative": model(tolerance=-1.0),
    "model.batch_size must be at least 1": model(batch_size=0) | {"accept_gradient_leak": True},
    "test_fraction must lie in [0, 0.9]": GOOD | {"test_fraction": 0.95},
    "schedule.deadline_s must be finite and above 0": GOOD | {"schedule": {"deadline_s": 0}},
    "seed must lie between": GOOD | {"seed": 1 << 63},
    "min_overlap must be at least 1": GOOD | {"min_overlap": 0},
    "crypto: mock protects nothing": GOOD | {"crypto": "mock"},
    "crypto: lattice adds up what at most 16 data parties encrypt: use crypto: paillier": parties(
        BANK, *(SHOP | {"name": f"shop{k}"} for k in range(16))
    )
    | ARBITER
    | {"crypto": {"scheme": "lattice"}},
    "model.batch_size 511 opens gradients of fewer than 512 rows": model(batch_size=511) | ARBITER,
    "model.reshuffle changes the rows": model(reshuffle=True) | ARBITER,
    "party 'shop' brings row weights; only the active party can": parties(
        BANK, SHOP | {"weight": "w"}
    ),
    "model.early_stopping.fraction must lie in (0, 0.5]": model(early_stopping={"fraction": 0.6}),
    "model.early_stopping.patience must be at least 1": model(early_stopping={"patience": 0}),
    "folds must lie between 2 and": GOOD | {"folds": 1},
    "model.class_weight must be at least 0 for each class": model(class_weight={"0": 1, "1": -3}),
    "model.optimizer is for security: open and arbiter; under shared": model(optimizer="adam"),
    "model.learning_rate is for security: open and arbiter": model(learning_rate=0.1),
    "model.batch_size is for security: open and arbiter": model(batch_size=600),
    "model.reshuffle is for security: open and arbiter": model(reshuffle=True),
    "security: sealed does not train logistic_regression, whose scores": GOOD
    | {"security": "sealed"},
    "folds needs the likelihood, which nobody knows while linear_regression": LINEAR | {"folds": 3},
    "model.early_stopping needs the likelihood, which nobody knows while": LINEAR
    | {"model": {"type": "linear_regression", "early_stopping": {}}},
    "weight: needs every party to weigh its own rows": LINEAR
    | {"parties": [BANK | {"weight": "w"}, SHOP]},
    "warm_start: saves linear_regression on shares nothing": LINEAR | {"warm_start": "run"},
    "folds is not built for security: open: remove it": GOOD | OPEN | {"folds": 3},
    "warm_start is not built for security: open": GOOD | OPEN | {"warm_start": "run"},
    "model.early_stopping is not built for security: open": model(early_stopping={}) | OPEN,
    "model.reshuffle is for security: arbiter; under open a batch has": model(reshuffle=True)
    | OPEN,
    "security: open has no arbiter": parties(BANK, SHOP, NOTARY) | OPEN,
    "security: shared has no arbiter: remove that party": parties(BANK, SHOP, NOTARY),
    "crypto: ckks is approximate and cannot be split into shares": GOOD | {"crypto": "ckks"},
    "model.early_stopping needs the likelihood": model(early_stopping={}) | ARBITER,
    "model.class_weight needs the likelihood": model(class_weight="balanced") | ARBITER,
    "weight needs the likelihood, which nobody knows under security: arbiter": parties(
        BANK | {"weight": "w"}, SHOP
    )
    | ARBITER,
    "folds needs the likelihood": GOOD | {"folds": 3} | ARBITER,
    "warm_start needs the likelihood": GOOD | {"warm_start": "run"} | ARBITER,
    "security: arbiter does not train poisson_regression; set security: shared": GOOD
    | {"model": {"type": "poisson_regression"}}
    | ARBITER,
    "model.optimizer fixed_hessian is of security: shared": model(optimizer="fixed_hessian")
    | ARBITER,
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_a_job_with_a_problem_is_refused_by_name(tmp_path, text):
    with pytest.raises(JobError, match=re.escape(text)) as caught:
        load(tmp_path, PROBLEMS[text])
    assert "job.yaml" in str(caught.value) and caught.value.exit_code == 2


def decoded(job) -> JobSpec:
    return msgspec.convert(job, JobSpec)


def test_every_problem_that_is_looked_for_has_a_test():
    """Every text in the source, what is filled in left out, occurs in a refusal."""
    refusals = "\n".join(problems(job)[0] for job in map(decoded, PROBLEMS.values()))
    nodes = list(ast.walk(ast.parse(inspect.getsource(job_checks))))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    keys = {id(key) for node in nodes if isinstance(node, ast.Dict) for key in node.keys}
    looked_for = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in docstrings and (" " in node.value or id(node) in keys)
    ]
    assert len(looked_for) > 50
    assert [text for text in looked_for if text not in refusals] == []


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize("key", ["learning_rate", "l2", "tolerance"])
def test_a_number_of_the_model_must_be_finite(tmp_path, key, value):
    text = "parties: [{name: a, data: a, label: y}, {name: b, data: b}]\n"
    text += f"model: {{type: linear_regression, {key}: {value}}}\n"
    with pytest.raises(JobError, match=f"model.{key} must be finite"):
        load(tmp_path, text.encode())


@pytest.mark.parametrize("value", [".nan", ".inf"])
@pytest.mark.parametrize("key", ["test_fraction: {}", "schedule: {{deadline_s: {}}}"])
def test_a_wait_or_a_share_without_a_bound_is_refused(tmp_path, key, value):
    text = yaml.safe_dump(GOOD) + key.format(value) + "\n"
    with pytest.raises(JobError, match="must"):
        load(tmp_path, text.encode())


@pytest.mark.parametrize("size", [-1, 0])
def test_no_leak_that_is_accepted_makes_an_empty_batch(tmp_path, size):
    with pytest.raises(JobError, match="batch_size must be at least 1"):
        load(tmp_path, model(batch_size=size) | {"accept_gradient_leak": True})


def test_what_a_guard_refuses_an_accepted_leak_allows(tmp_path):
    loose = ARBITER | {"accept_gradient_leak": True}
    assert load(tmp_path, model(batch_size=5, reshuffle=True) | loose).model.batch_size == 5
    assert load(tmp_path, model(batch_size=512) | ARBITER).model.batch_size == 512


@pytest.mark.parametrize(
    ("job", "near"),
    [
        (GOOD | {"modle": 1}, "model"),
        (model(learning_rat=1), "learning_rate"),
        (parties(BANK | {"colums": []}, SHOP), "columns"),
        (GOOD | {"crypto": {"scheme": "paillier", "keybits": 1}}, "key_bits"),
        (GOOD | {"schedule": {"deadline": 1}}, "deadline_s"),
        (parties(BANK, SHOP | {"encode": {"min_row": 5}}), "min_rows"),
        (parties(BANK, SHOP | {"pca": {"varianc": 0.9}}), "variance"),
        (parties(BANK, SHOP | {"pcas": {"ratio": 0.9}}), "pca"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_suggested(tmp_path, job, near):
    with pytest.raises(JobError, match=f"did you mean {near!r}"):
        load(tmp_path, job)


def test_an_unknown_key_that_is_near_to_none_lists_all(tmp_path):
    with pytest.raises(JobError, match=r"known keys: .*accept_gradient_leak.*transport"):
        load(tmp_path, GOOD | {"zzzzqqqq": 1})


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\x00", b"\xff\xfe\x00", b"[", b"{a: b: c}", b"- 1\n- 2", b"5", b"null", b"a: *b",
        b"!!python/object/apply:os.system ['true']", b"parties: 5\nmodel: {}", b"\t- a",
        b"%YAML 9.9\n---\n5", b"? [a, b]\n: 1", b"&a [*a]", b"[" * 5000, "\x85é".encode("latin-1"),
        b"parties: [{name: a}]\nmodel: {type: no_such_model}",
        b"parties: [{name: 5}]\nmodel: {type: linear_regression}",
        b"parties: []\nmodel: {type: linear_regression}",
        b"parties: [{name: a, label: yes, data: d}]\nmodel: {type: linear_regression}",
    ],
)  # fmt: skip
def test_text_that_is_no_job_is_a_job_error_that_names_the_file(tmp_path, text):
    with pytest.raises(JobError, match=r"job\.yaml"):
        load(tmp_path, text)


@given(st.binary(max_size=60))
def test_no_bytes_make_the_reader_fail_in_another_way(tmp_path_factory, text):
    with contextlib.suppress(JobError):
        load(tmp_path_factory.mktemp("y"), text)


@pytest.mark.parametrize("name", ["no.yaml", "."])
def test_a_file_that_is_not_there_is_a_job_error(tmp_path, name):
    with pytest.raises(JobError, match="no such job file"):
        load_job(tmp_path / name)


def test_the_schema_covers_every_key():
    text = json.dumps(json_schema())
    parts = (
        spec.OneHotSpec, spec.PcaSpec, spec.LogisticRegression, spec.PoissonRegression,
        spec.MultinomialRegression, spec.EarlyStopping, spec.CryptoSpec, spec.ScheduleSpec,
    )  # fmt: skip
    for struct in (JobSpec, PartySpec, *parts):
        assert all(f'"{field}"' in text for field in struct.__struct_fields__)


def test_a_job_comes_back_from_json(tmp_path):
    job = load(tmp_path, model(batch_size=600) | {"crypto": {"scheme": "ckks"}} | ARBITER)
    assert msgspec.json.decode(msgspec.json.encode(job), type=JobSpec) == job


def test_sixteen_data_parties_are_not_too_many_for_the_lattice(tmp_path):
    shops = [SHOP | {"name": f"shop{k}"} for k in range(15)]
    job = load(tmp_path, parties(BANK, *shops) | {"crypto": "lattice"})
    assert len(job.roster.data_parties) == spec.LATTICE_PARTIES == TERMS


def test_checking_a_checked_job_changes_nothing(tmp_path):
    job = load(tmp_path, GOOD)
    assert check_job(job) == job
    job = load(tmp_path, GOOD | ARBITER)
    assert check_job(job) == job


# the Python face


def table(**columns):
    return {"id": np.arange(40), **columns}


def fit(tmp_path, *, bank=None, shop=None, model=None, **options):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(40)
    bank = {"data": table(a=x, y=(x > 0).astype(int)), "label": "y"} | (bank or {})
    shop = {"data": table(b=x + rng.standard_normal(40))} | (shop or {})
    return vfl.fit(
        model or vfl.LogisticRegression(epochs=2),
        [vfl.Party("bank", **bank), vfl.Party("shop", **shop)],
        folder=tmp_path / "run",
        **({"crypto": "mock", "transport": "inprocess", "accept_score_leak": True} | options),
    )


def test_fit_takes_tables_in_memory_and_paths(tmp_path, monkeypatch):
    assert fit(tmp_path / "a").metrics["accuracy"] > 0
    values = np.random.default_rng(1).standard_normal(40)
    rows = "\n".join(f"{i},{x}" for i, x in enumerate(values))
    Path(tmp_path / "shop.csv").write_text("id,b\n" + rows + "\n")
    run = fit(tmp_path / "b", shop={"data": tmp_path / "shop.csv"})  # a Path
    assert run.job.party("shop").data == str(tmp_path / "shop.csv")
    monkeypatch.chdir(tmp_path)
    run = fit(tmp_path / "c", shop={"data": "shop.csv"})  # relative to where Python runs
    assert run.job.party("shop").data == str(tmp_path / "shop.csv")


def test_encode_has_a_short_and_a_long_form(tmp_path):
    job = load(tmp_path, parties(BANK | {"encode": "one_hot"}, SHOP))
    assert job.party("bank").one_hot == spec.OneHotSpec(None, min_rows=10, max_levels=32)
    assert job.party("shop").one_hot is None
    cities = ["york", "bath", "ely", "york"] * 10
    encode = {"columns": ["b"], "min_rows": 4}
    run = fit(tmp_path, shop={"data": table(b=cities), "encode": encode}, accept_gradient_leak=True)
    assert run.job.party("shop").one_hot == spec.OneHotSpec(["b"], min_rows=4)
    assert (run.folder / "shop" / "coefficients.csv").read_text().count("\nb,") == 3


def test_pca_is_named_by_one_of_two_keys(tmp_path):
    job = load(tmp_path, parties(BANK | {"pca": {"ratio": 0.6}}, SHOP | {"pca": {"variance": 1}}))
    assert job.party("bank").pca == spec.PcaSpec(ratio=0.6)
    assert job.party("shop").pca == spec.PcaSpec(variance=1.0)
    assert load(tmp_path, GOOD).party("shop").pca is None
    with pytest.raises(JobError, match="pca needs either ratio or variance"):
        load(tmp_path, parties(BANK | {"pca": {"ratio": 0.6, "variance": 0.9}}, SHOP))
    for key, value in (("ratio", ".nan"), ("ratio", "-0.5"), ("variance", ".inf")):
        text = yaml.safe_dump(parties(BANK, SHOP | {"pca": {key: 9.5}})).replace("9.5", value)
        with pytest.raises(JobError, match=rf"pca\.{key} must lie in"):
            load(tmp_path, text.encode())
    run = fit(tmp_path, shop={"pca": {"ratio": 1.0}})  # as a mapping too
    assert run.job.party("shop").pca == spec.PcaSpec(ratio=1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shop": {"scale": "bogus"}},
        {"shop": {"pca": 0.6}},
        {"shop": {"pca": {"ratio": 2}}},
        {"shop": {"impute": "mode"}},
        {"shop": {"encode": "ordinal"}},
        {"shop": {"encode": {"min_rows": "few"}}},
        {"shop": {"columns": "b"}},
        {"bank": {"label": 5}},
        {"model": vfl.LogisticRegression(epochs="many")},
        {"model": vfl.LogisticRegression(optimizer="lbfgs")},
        {"model": "logistic_regression"},
        {"model": None, "transport": "pigeon"},
        {"crypto": "rot13"},
        {"colour": "red"},
        {"seed": "x"},
        {"schedule": {"deadline": 3}},
        {"min_overlap": 0},
        {"test_fraction": float("nan")},
    ],
    ids=str,
)
def test_fit_refuses_what_a_job_file_could_not_say(tmp_path, wrong):
    with pytest.raises(JobError, match=r"fit\(\)"):
        fit(tmp_path, **wrong)
    assert not (tmp_path / "run").exists()


def test_fit_refuses_things_that_are_no_parties(tmp_path):
    with pytest.raises(JobError, match=r"fit\(\)"):
        vfl.fit(vfl.LogisticRegression(), ["bank", "shop"], folder=tmp_path / "run")
