import pytest

from vfl.data.table import read_table
from vfl_bench.coordinated import rows, sentence, write_shuffled_copy


def test_the_copied_tables_must_really_be_aligned(tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    for side, header in (("guest", "id,y,x0"), ("host", "id,x0")):
        rows = "\n".join(f"{i}" + ",1" * header.count(",") for i in range(100))
        (source / f"d_hetero_{side}.csv").write_text(f"{header}\n{rows}\n")
    write_shuffled_copy(source, "d", copy, 100)
    guest, host = (
        read_table(copy / f"{side}.csv", party=side, id="id").ids for side in ("guest", "host")
    )
    assert len(guest) == len(host) == 90
    assert set(guest) != set(host)
    assert list(guest) != sorted(guest, key=int)
    joint = set(guest) & set(host)
    assert [i for i in guest if i in joint] != [i for i in host if i in joint]


def test_each_cipher_stands_beside_its_prediction():
    found = list(rows(["lattice"], 1200, 2, None, None, "generated"))
    assert [row.peer for row in found] == ["mock", "lattice"]
    for row in found:
        measured, predicted = row.real_time / 1e6, row.facts["predicted_s"]
        assert row.figures["predicted/measured"] == pytest.approx(predicted / measured)
        # Within two on a quiet machine; how far off a busy one may be is not a matter of the code.
        assert 0.05 < predicted / measured < 20
        assert f"predicted {predicted:.3g} s" in sentence(row)
