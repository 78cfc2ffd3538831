"""A bank and a telecom company train one model from Python: make data, fit, predict, report.

python examples/credit/run.py      (about a minute; the job starts Ray on this machine)
"""

import csv
from pathlib import Path

import numpy as np

import vfl

HERE = Path(__file__).parent
BANK = ("age", "income", "debt", "cards")
TELECOM = ("months", "bill", "reminders", "prepaid")
TARIFFS = ("basic", "family", "student")


def make_data(folder: Path) -> None:
    """Write training and new tables of both companies, who share most of their customers."""
    rng = np.random.default_rng(7)
    bank = rng.standard_normal((900, len(BANK)))
    telecom = 0.3 * bank + rng.standard_normal((900, len(TELECOM)))
    tariff = rng.integers(len(TARIFFS), size=900)
    odds = bank @ [-0.3, -0.6, 0.9, 0.2] + telecom @ [-0.5, 0.3, 1.2, 0.4] + tariff * 0.5 - 1
    late = rng.random(900) < 1 / (1 + np.exp(-odds))
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"C{number:05d}" for number in rng.permutation(99_999)[:900]]
    for name, people in {"": range(700), "new-": range(700, 900)}.items():
        at_bank, at_telecom = rng.permutation(people)[:-30], rng.permutation(people)[:-30]
        _write(
            folder / f"{name}bank.csv",
            ["customer", *BANK, "late"],
            [[ids[i], *bank[i].round(3), int(late[i])] for i in at_bank],
        )
        _write(
            folder / f"{name}telecom.csv",
            ["customer", *TELECOM, "tariff"],
            [
                [ids[i], *telecom[i, :3].round(3), _prepaid(telecom[i, 3], rng), TARIFFS[tariff[i]]]
                for i in at_telecom
            ],
        )


def main() -> None:
    """Everything from data to report."""
    data = HERE / "data"
    make_data(data)
    run = vfl.run_job(vfl.load_job(HERE / "job.yaml"))
    print("held out:", {name: round(value, 4) for name, value in run.metrics.items()})
    print("bytes over borders:", sum(border.bytes for border in run.ledger.borders))
    print("undeclared messages:", run.ledger.undeclared)

    new = {"bank": data / "new-bank.csv", "telecom": data / "new-telecom.csv"}
    print("predictions for new customers, at the bank only:", run.predict(new))
    print("each party's coefficients:", *run.folder.glob("*/coefficients.csv"))
    print("report:", run.report(run.folder / "report.html"))


def _prepaid(value: float, rng: np.random.Generator) -> str:
    """The telecom company does not know this of everybody: the job says `impute: median`."""
    return "" if rng.random() < 0.05 else f"{value:.3f}"


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main()
