"""`vfl plan` at the command line, and the line with which `vfl run` begins."""

import pytest

from vfl import plan_tables
from vfl.planner.probe import probe
from vfl.planner.protocols import PROTOCOLS

CANARY = "canary-7391"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Stated costs: what is measured is tested elsewhere."""
    monkeypatch.setattr(
        "vfl.planner.plan.probe", lambda *sizes, seconds: probe(*sizes, seconds=0 * seconds)
    )


def test_json_is_one_object_with_seconds_bytes_and_memory_of_each_party(vfl, job_file):
    done = vfl("plan", job_file(crypto="auto"), "--json")
    assert done.code == 0 and done.stderr.count("plan breast") <= 1
    found = done.json
    assert found["chosen_by"] == "auto" and found["forecast"]["cipher"] == "lattice"
    assert found["rows"] == dict.fromkeys(("clinic", "imaging", "laboratory"), 560)
    assert found["forecast"]["security_bits"] == 128 and found["security"] == "shared"
    assert set(found["others"]) == {"paillier"}
    parties = {party["name"]: party for party in found["forecast"]["parties"]}
    assert set(parties) == {"clinic", "imaging", "laboratory"}
    for party in parties.values():
        assert set(party) == {"name", "role", "seconds", "sent", "received", "memory"}
        assert party["seconds"]["wait"] >= 0.0
    assert {"table", "matrix", "tiles", "ciphertexts", "keys", "peak"} == set(
        parties["clinic"]["memory"]
    )
    sent = sum(sum(party["sent"].values()) for party in parties.values())
    received = sum(sum(party["received"].values()) for party in parties.values())
    assert sent == received == found["forecast"]["bytes"]


def test_the_table_fits_100_columns_and_tells_each_party(vfl, job_file):
    done = vfl("plan", job_file(crypto="lattice"))
    assert done.code == 0 and done.stderr == ""
    for said in (
        "Lattice, N = 8192, log2 QP = 196, 128-bit security", "clinic", "laboratory", "asked for",
        "of public keys", "all parties on this machine", "peak", "assumed",
    ):  # fmt: skip
        assert said in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def as_many_as_can_be(job):
    """Rounds."""
    job["model"] = {"type": "logistic_regression"}


def test_a_plan_on_shares_says_how_many_rounds_and_who_learns_what(vfl, job_file):
    path = job_file(as_many_as_can_be, crypto="auto")
    found = vfl("plan", path, "--json").json
    assert (found["security"], found["forecast"]["cipher"]) == ("shared", "lattice")
    assert set(found["others"]) == {"paillier"} and set(found["learns"]) == {"active", "passive"}
    rounds = found["forecast"]["epochs"]
    shown = vfl("plan", path)
    assert shown.code == 0 and max(map(len, shown.stdout.splitlines())) <= 100
    said = " ".join(shown.stdout.split())
    for words in (f"at most {rounds} rounds, each", "learns in training", "its own coefficients"):
        assert words in said
    assert "vfl" not in said and "arbiter" not in said


def test_a_linear_job_is_planned_as_the_sealed_level_that_trains_it(vfl, job_file):
    def linear(job):
        job["model"] = {"type": "linear_regression"}

    shown = vfl("plan", job_file(linear, crypto="auto"))
    assert shown.code == 0 and max(map(len, shown.stdout.splitlines())) <= 100
    said = " ".join(shown.stdout.split())
    for words in ("sealed learns in training", ", 200 rounds, each", "chosen by auto"):
        assert words in said
    assert "score" not in said.partition("learns in training")[2].partition("seconds")[0]


def test_keys_have_a_column_of_their_own_at_every_level():
    sent = {f.message.kind for level in PROTOCOLS.values() for f in level.declaration.flows}
    keys = {kind for kind in sent if kind.endswith(".key")} - {"sum.key"}  # masks, 32 bytes
    assert {kind for kind in sent if plan_tables._group(kind) == "key"} == keys


def test_a_job_on_shares_beyond_its_budget_is_planned_and_said_to_be_refused(vfl, job_file):
    def greedy(job):
        job["model"]["epochs"] = 90

    found = vfl("plan", job_file(greedy), "--json").json
    assert found["warnings"][0]["about"] == "scores" and found["warnings"][0]["refused"]


def test_a_link_parts_the_machines_and_costs_time(vfl, job_file):
    path = job_file(crypto="lattice")
    here = vfl("plan", path, "--json").json
    far = vfl("plan", path, "--link", "10", "--latency", "50", "--json").json
    assert here["one_machine"] and not far["one_machine"]
    assert (far["link_bits"], far["latency_s"]) == (1e7, 0.05)
    assert far["forecast"]["training_s"] > here["forecast"]["training_s"]
    assert "10 Mbit/s and 50 ms" in " ".join(
        vfl("plan", path, "--link", 10, "--latency", 50).stdout.split()
    )


def test_a_placement_parts_the_machines_over_a_stated_link(vfl, job_file):
    def place(job):
        job["parties"][1]["placement"] = {"silo": "north"}

    found = vfl("plan", job_file(place), "--json").json
    assert (found["one_machine"], found["link_bits"], found["latency_s"]) == (False, 1e8, 0.01)


def test_quiet_leaves_the_seconds(vfl, job_file):
    done = vfl("plan", job_file(), "--quiet")
    assert float(done.stdout) > 0 and done.stderr == ""


@pytest.mark.parametrize(
    ("edit", "words", "code", "said"),
    [
        (lambda job: job.pop("model"), (), 2, "model"),
        (lambda job: job.update(crypto={"scheme": "paillier", "key_bits": 1024}), (), 5, "1024"),
        (lambda _: None, ("--link", "0"), 2, "--link is above 0"),
        (lambda _: None, ("--latency", "-1"), 2, "--latency not negative"),
    ],
    ids=["no model", "weak key", "no link", "no latency"],
)
def test_what_cannot_be_planned_is_a_sentence_and_an_exit_code(
    vfl, job_file, edit, words, code, said
):
    done = vfl("plan", job_file(edit), *words, "--json")
    assert done.code == code
    assert said in done.json["error"]["message"]


def test_a_missing_job_file_exits_2_and_a_missing_table_is_assumed(vfl, job_file):
    assert vfl("plan", "nowhere.yaml").code == 2

    def elsewhere(job):
        job["parties"][1]["data"] = "/elsewhere/imaging.csv"

    done = vfl("plan", job_file(elsewhere), "--json")
    assert done.code == 0
    assert any(text.startswith("imaging: a table of 560 rows") for text in done.json["assumed"])


def test_no_cell_and_no_column_of_a_table_is_shown(vfl, job_file, tmp_path):
    path = job_file(crypto="lattice")
    for name in ("clinic", "imaging"):
        table = tmp_path / "data" / f"{name}.csv"
        header, *lines = table.read_text().splitlines()
        table.write_text("\n".join([header, *(f"{CANARY}{line}" for line in lines)]))
    broken = tmp_path / "data" / "laboratory.csv"  # its first row is data
    broken.write_bytes(f"{CANARY},1.5\n{CANARY}".encode() + b"\xff,2\n")
    for words in ((), ("--json",)):
        done = vfl("plan", path, *words)
        assert done.code == 0
        assert CANARY not in done.stdout + done.stderr
        assert "radius" not in done.stdout + done.stderr


def test_a_run_begins_with_what_it_is_expected_to_take(vfl, job_file):
    done = vfl("run", job_file(crypto="auto", epochs=1))
    first = done.stderr.splitlines()[0]
    assert first.startswith("Lattice, N = 8192, log2 QP = 196, 128-bit security; chosen by auto; ")
    assert "roughly" in first and "MiB if all epochs are trained" in first
