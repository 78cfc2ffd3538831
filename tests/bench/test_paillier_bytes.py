import pytest

import vfl
from vfl.api import ledger_entries
from vfl_bench.paillier_bytes import sent, training, under_paillier
from vfl_bench.tables import generated
from vfl_crypto.paillier import shares
from vfl_crypto.paillier.packing import Slots

BITS = 2048


def one_to_a_ciphertext(_bits, key_bits):
    return Slots(key_bits - 2, key_bits)


def trained(folder, cipher, hosts=1):
    tables = generated(folder / "tables", 60, 3, 8)
    guest, host = tables.parties()
    others = [vfl.Party(f"host-{k}", data=host.data, id="id") for k in range(hosts)]
    run = vfl.fit(
        vfl.LogisticRegression(epochs=2), [guest, *others], crypto=cipher, transport="inprocess",
        test_fraction=0.0, folder=folder / cipher.scheme, on_event=lambda _: None,
        accept_score_leak=True, min_overlap=10,
    )  # fmt: skip
    return training(ledger_entries(run.folder)[0])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("hosts", [1, 2])
def test_the_count_from_any_cipher_is_what_a_real_run_sends(tmp_path, monkeypatch, packed, hosts):
    if not packed:
        monkeypatch.setattr(shares, "slots_for", one_to_a_ciphertext)
    real = trained(tmp_path, vfl.CryptoSpec("paillier", BITS), hosts)
    monkeypatch.undo()
    mock = trained(tmp_path, vfl.CryptoSpec("mock"), hosts)
    (key,) = {f.count for e in real for f in e.fields if f.name == "key"}
    assert under_paillier(mock, BITS, key, packed=packed) == sent(real)


def test_an_unpacked_round_is_one_ciphertext_a_value(tmp_path):
    rows, rank, rounds, row_bytes = 60, 8, 2, 2 * BITS // 8
    mock = trained(tmp_path, vfl.CryptoSpec("mock"))
    count = under_paillier(mock, BITS, 0, packed=False)
    values = rounds * (rank + rows + (rows + rank) + rank)
    others = sum(e.bytes for e in mock if e.fields[0].protection != "encrypted")
    assert 0 < count.total() - values * row_bytes - others < 500 * len(mock)
