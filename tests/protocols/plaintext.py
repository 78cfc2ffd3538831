"""The coordinated regression again, in plain numpy on the pooled rows, written from the papers.

Shares no code with the product: its own join, row order, standardisation, batches, residual,
gradient, rounding of what is opened, and optimisers.
"""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np


def row_order(ids, seed):
    """Joint ids sorted by SHA-256 of a tag, the seed in 16 bytes, and the id."""
    tag = b"vfl row order" + (seed % (1 << 128)).to_bytes(16, "little")
    return sorted(ids, key=lambda i: hashlib.sha256(tag + i.encode()).digest())


def joined(tables, seed):
    """Columns by party and label, rows in the common order."""
    order = row_order(tables.joint, seed)
    X = {}
    for party, values in tables.columns.items():
        place = {name: row for row, name in enumerate(tables.ids[party])}
        X[party] = values[[place[name] for name in order]]
    return order, X, np.array([tables.label[name] for name in order])


class Opening:
    """Each entry to a multiple of 2^(e - bits), 2^e the power of two above the largest entry.

    The quantum of a party's batch never becomes finer than it was.
    """

    def __init__(self, bits):
        self.bits = bits
        self.quanta = {}

    def __call__(self, vector, which):
        top = np.abs(vector).max()
        if top == 0 or not self.bits:
            return vector
        quantum = 2.0 ** (math.floor(math.log2(top)) + 1 - self.bits)
        quantum = self.quanta[which] = max(quantum, self.quanta.get(which, 0.0))
        return np.round(vector / quantum) * quantum


def optimiser(name, rate):
    m = v = 0.0
    t = 0

    def step(g):
        nonlocal m, v, t
        t += 1
        if name == "sgd":
            return rate * g
        if name == "momentum":
            m = 0.9 * m + g
            return rate * m
        if name == "rmsprop":
            v = 0.99 * v + 0.01 * g * g
            return rate * g / np.sqrt(v + 1e-6)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        return rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-3)

    return step


def fit(
    tables, *, logistic, optimizer="adam", learning_rate=0.1, epochs=3, l2=1e-3, batch_size=None,
    intercept=True, test_fraction=0.2, seed=0, tolerance=1e-4, bits=16, order=None,
):  # fmt: skip
    """Weights by party, the intercept, epochs run, and the scores of the held-out rows."""
    _, columns, label = joined(tables, seed)
    n = len(label) - round(len(label) * test_fraction)
    parties = order or list(columns)
    X = {}
    for party, values in columns.items():
        train = values[:n]
        X[party] = (values - train.mean(axis=0)) / train.std(axis=0)
    if logistic:
        y = np.where(label[:n] > 0.5, 1.0, -1.0)
        slope, target = 1 / 4, y / 2
    else:
        y = (label[:n] - label[:n].mean()) / label[:n].std()
        slope, target = 1.0, y
    theta = {party: np.zeros(values.shape[1]) for party, values in X.items()}
    b = 0.0
    count = max(1, n // batch_size) if batch_size else 1
    cuts = [round(n * i / count) for i in range(count + 1)]
    move = optimiser(optimizer, learning_rate)
    opening = Opening(bits)
    done = 0
    for _ in range(epochs):
        total = 0.0
        for start, stop in itertools.pairwise(cuts):
            score = b + sum(X[party][start:stop] @ theta[party] for party in parties)
            residual = slope * score - target[start:stop]
            rows = stop - start
            opened = []
            for party in parties:
                gradient = X[party][start:stop].T @ residual + rows * l2 * theta[party]
                if party == "bank" and intercept:
                    gradient = np.append(gradient, residual.sum())
                opened.append(opening(gradient, (party, start)))
            step = move(np.concatenate(opened) / rows)
            total = total + step
            for party, part in zip(
                parties, np.split(step, np.cumsum([len(g) for g in opened])[:-1]), strict=True
            ):
                width = len(theta[party])
                theta[party] = theta[party] - part[:width]
                b -= part[width:].sum()  # the intercept, where there is one
        done += 1
        if np.sqrt((total**2).sum()) <= tolerance:
            break
    scores = {party: X[party][n:] @ theta[party] for party in parties}
    held_out = b + scores.pop("bank") + sum(np.round(z * 2**12) / 2**12 for z in scores.values())
    return theta, b, done, held_out
