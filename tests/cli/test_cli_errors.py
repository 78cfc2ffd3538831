"""Every mistake a user is likely to make, as the sentence and the exit code it gets."""

import pytest


def _passive_with_label(job):
    del job["parties"][0]["label"]
    job["parties"][1] |= {"role": "passive", "label": "mean_radius"}


def _two_labels(job):
    job["parties"][1]["label"] = "mean_radius"


def _same_name(job):
    job["parties"][2]["name"] = "imaging"


def _unknown_key(job):
    job["model"]["learning_rte"] = 0.1


def _unknown_top_key(job):
    job["test_fracton"] = 0.1


def _no_such_file(job):
    job["parties"][1]["data"] = "nowhere.csv"


def _mock_on_ray(job):
    job["transport"] = "ray"


def _weak_key(job):
    job["crypto"] = {"scheme": "paillier", "key_bits": 1024}


def _small_batches(job):
    job["security"] = "arbiter"
    job["model"]["batch_size"] = 64


def _batches_on_shares(job):
    job["model"]["batch_size"] = 600


def _too_many_rounds(job):
    job["model"]["epochs"] = 100


def _approximate_shares(job):
    job["crypto"] = "ckks"


MISTAKES = [
    (
        _passive_with_label,
        2,
        "passive party 'imaging' brings a label ('mean_radius'); remove label:",
    ),
    (_two_labels, 2, "clinic and imaging both bring a label"),
    (_same_name, 2, "two parties are called 'imaging'; give each its own name"),
    (_unknown_key, 2, "did you mean 'learning_rate'?"),
    (_unknown_top_key, 2, "did you mean 'test_fraction'?"),
    (_no_such_file, 3, "nowhere.csv"),
    (_mock_on_ray, 2, "mock protects nothing and runs in one process only"),
    (_weak_key, 5, "1024"),
    (_small_batches, 2, "from which labels can be solved"),
    (_batches_on_shares, 2, "model.batch_size is for security: open and arbiter"),
    (_approximate_shares, 2, "ckks is approximate and cannot be split into shares"),
    (_too_many_rounds, 5, "lower model.epochs, bring more columns, or set accept_score_leak"),
]


@pytest.mark.parametrize(
    ("mistake", "code", "said"), MISTAKES, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_mistake_in_the_job_is_one_sentence_and_an_exit_code(vfl, job_file, mistake, code, said):
    path = job_file(mistake)
    done = vfl("run", path)
    assert done.code == code
    assert done.stdout == "" and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said in line and done.stderr.rstrip().endswith(line)
    told = vfl("run", path, "--json")
    assert told.code == code
    assert told.json["error"]["exit_code"] == code and said in told.json["error"]["message"]


def test_a_missing_job_file(vfl):
    done = vfl("run", "nope.yaml")
    assert (done.code, done.stderr) == (2, "error: nope.yaml: there is no such job file\n")


def test_a_column_that_is_not_numeric_is_named_with_its_file_and_row(vfl, job_file):
    path = job_file()
    table = path.with_name("imaging.csv")
    lines = table.read_text().splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join([cells[0], "large", *cells[2:]])
    table.write_text("\n".join(lines))
    done = vfl("run", path)
    assert done.code == 3
    assert "imaging: column 'mean_radius' of " in done.stderr
    assert "is not numeric (row 3)" in done.stderr or "is not numeric (row 4)" in done.stderr
    assert "large" not in done.stderr  # a value is a person's


def test_a_repeated_id_is_counted_and_not_shown(vfl, job_file):
    path = job_file()
    table = path.with_name("imaging.csv")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]))
    done = vfl("run", path)
    assert done.code == 4
    assert "1 of 561 ids occur more than once" in done.stderr
    assert lines[1].split(",")[0] not in done.stderr


def test_predict_needs_a_table_of_each_data_party(vfl, finished):
    done = vfl("predict", finished, "clinic=x.csv")
    assert done.code == 2
    assert (
        "prediction needs a table of each of clinic, imaging, laboratory; got clinic" in done.stderr
    )
    assert "not of the form NAME=PATH" in vfl("predict", finished, "x.csv").stderr
    assert "given two tables" in vfl("predict", finished, "clinic=a", "clinic=b").stderr


def test_a_folder_that_is_no_run(vfl, tmp_path):
    for command in ("report", "audit"):
        done = vfl(command, tmp_path)
        assert done.code == 2 and "give the folder that `vfl run` printed" in done.stderr


def test_an_unfinished_run_cannot_be_overwritten_by_accident(vfl, job_file, finished):
    done = vfl("run", job_file(), "--folder", finished)
    assert done.code == 2 and "already holds a run" in done.stderr
    done = vfl("run", job_file(), "--resume")
    assert done.code == 2 and "is complete: nothing to resume" in done.stderr


def test_the_demo_names_the_ciphers_it_knows(vfl):
    done = vfl("demo", "--crypto", "rot13")
    assert done.code == 2 and (
        "--crypto must be one of auto, lattice, paillier, not 'rot13'" in done.stderr
    )
