"""What `vfl plan` says crosses, beside what the ledger of a real run says did."""

from __future__ import annotations

from collections import Counter

from vfl.api import ledger_entries


def bytes_of_run(folder):
    """Bytes by (party, kind) of the run in a folder: sent, received."""
    sent, received = Counter(), Counter()
    for entry in ledger_entries(folder)[0]:
        if entry.direction == "sent":
            sent[entry.sender, entry.kind] += entry.bytes
            received[entry.receiver, entry.kind] += entry.bytes
    return sent, received


def bytes_of_forecast(told):
    """Bytes by (party, kind) of a forecast: sent, received."""
    sent = {(p.name, kind): n for p in told.parties for kind, n in p.sent.items()}
    received = {(p.name, kind): n for p in told.parties for kind, n in p.received.items()}
    return sent, received


def check_bytes(told, ran, key):
    """Rounds, every party's bytes by kind, and those of the kind `key`, are those of a run."""
    assert told.epochs == ran.result.epochs
    sent, received = bytes_of_run(ran.folder)
    assert bytes_of_forecast(told) == (sent, received)
    assert told.key_bytes == sum(n for (_, kind), n in sent.items() if kind == key)
