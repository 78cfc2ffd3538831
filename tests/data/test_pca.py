"""The projection against scikit-learn's, and training on it against training on all columns."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from vfl.data.pca import LARGEST, Projection, most_axes
from vfl.errors import DataError
from vfl.models.whitening import Whitening
from vfl.spec import PcaSpec

ALL = PcaSpec(ratio=1.0)
SHAPES = [(60, 7), (7, 60), (9, 9), (30, 1), (2, 5)]
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def columns(m, n, seed=0):
    """Correlated columns with means, whose variances fall by a fifth from axis to axis."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    return (rng.standard_normal((m, n)) * 0.9 ** np.arange(n)) @ Q.T + rng.standard_normal(n) * 5


@by_shape
def test_axes_are_orthonormal_and_scikit_learns(shape):
    X = columns(*shape)
    made = Projection.fit(X, ALL, "shop")
    k = min(shape[0] - 1, shape[1])  # the rank of centred columns
    assert made.matrix.shape == (k, shape[1])
    np.testing.assert_allclose(made.matrix @ made.matrix.T, np.eye(k), atol=1e-12)
    known = PCA(n_components=k).fit(X)
    apart = np.abs(made.matrix) - np.abs(known.components_)
    assert np.abs(apart).max() < 1e-8
    np.testing.assert_allclose(np.abs(made.compress(X)), np.abs(known.transform(X)), atol=1e-8)
    assert made.explained == pytest.approx(1.0)


@by_shape
def test_columns_of_the_projection_are_centred_and_do_not_correlate(shape):
    Z = Projection.fit(columns(*shape), ALL, "shop").compress(columns(*shape))
    moments = Z.T @ Z / len(Z)
    assert np.abs(Z.mean(axis=0)).max() < 1e-12
    assert np.abs(moments - np.diag(np.diag(moments))).max() < 1e-10
    assert (np.diff(np.diag(moments)) <= 0).all()


@by_shape
def test_signs_are_those_of_the_columns_whatever_their_order(shape):
    X = columns(*shape)
    made = Projection.fit(X, ALL, "shop")
    assert Projection.fit(X.copy(), ALL, "shop") == made
    for other in (np.asfortranarray(X), X[::-1]):
        again = Projection.fit(other, ALL, "shop")
        np.testing.assert_allclose(again.matrix, made.matrix, atol=1e-8)
    for axis in made.matrix:
        assert axis[np.abs(axis).argmax()] > 0


def test_of_entries_alike_but_for_rounding_the_first_is_positive():
    x = np.random.default_rng(0).standard_normal(50)
    for noise in (0.0, 1e-13, -1e-13):
        made = Projection.fit(np.column_stack([x, -x * (1 + noise)]), ALL, "shop")
        np.testing.assert_allclose(made.matrix, [[0.5**0.5, -(0.5**0.5)]], atol=1e-9)


@pytest.mark.parametrize(
    ("ratio", "n", "k"),
    [(1.0, 7, 7), (0.8, 10, 8), (0.6, 10, 6), (0.6, 5, 3), (0.5, 3, 2), (0.5, 5, 2),
     (0.01, 7, 1), (1.0, 0, 0), (0.2, 0, 0)],
)  # fmt: skip
def test_a_ratio_is_a_share_of_the_columns(ratio, n, k):
    assert most_axes(PcaSpec(ratio=ratio), n) == k
    X = columns(40, n) if n else np.empty((40, 0))
    assert Projection.fit(X, PcaSpec(ratio=ratio), "shop").matrix.shape == (k, n)


@pytest.mark.parametrize("variance", [1e-9, 0.3, 0.8, 0.95, 0.999, 1.0])
def test_a_variance_is_reached_by_no_fewer_axes(variance):
    X = columns(200, 9)
    made = Projection.fit(X, PcaSpec(variance=variance), "shop")
    shares = np.cumsum(PCA().fit(X).explained_variance_ratio_)
    k = next(place for place, share in enumerate(shares, 1) if share >= variance - 1e-12)
    assert len(made.axes) == k
    assert made.explained == pytest.approx(shares[k - 1])
    assert most_axes(PcaSpec(variance=variance), 9) == 9 >= k


def test_a_variance_that_equal_axes_reach_exactly_takes_no_axis_more():
    X = np.vstack([np.eye(20), -np.eye(20)])
    assert len(Projection.fit(X, PcaSpec(variance=0.95), "shop").axes) == 19


def test_columns_without_variance_and_repeated_ones_drop_out():
    X = columns(50, 3)
    more = np.column_stack([X, X @ [1, -2, 0.5], np.full(50, 1e9 + 0.1), X[:, 0], np.zeros(50)])
    made = Projection.fit(more, ALL, "shop")
    assert made.matrix.shape == (3, 7)
    assert np.abs(made.matrix[:, [4, 6]]).max() < 1e-12
    for nothing in (np.full((50, 3), 0.1), np.ones((1, 4))):
        none = Projection.fit(nothing, ALL, "shop")
        assert none.matrix.shape == (0, nothing.shape[1]) and none.explained == 0.0
        assert none.compress(nothing).shape == (len(nothing), 0)
        full, own = none.expand(np.zeros((0, 2)), np.array([1.0, 2.0]))
        assert not full.any() and own.tolist() == [1.0, 2.0]


def test_axes_are_those_that_the_levels_on_shares_can_tell_apart():
    X = columns(300, 6) * np.geomspace(1, 1e-7, 6)
    Z = Projection.fit(X, ALL, "shop").compress(X)
    assert Z.shape[1] < 6
    assert Whitening.fit(Z, 0.25, 2, 1e-3).columns.shape == Z.shape  # refuses what it would lose


def test_values_whose_squares_are_no_numbers_are_refused():
    X = columns(30, 3)
    X[4, 1] = 2 * LARGEST
    with pytest.raises(DataError, match="shop: a column is too large for pca; use another unit"):
        Projection.fit(X, ALL, "shop")
    tiny = Projection.fit(columns(30, 3) * 1e-200, ALL, "shop")
    np.testing.assert_allclose(tiny.matrix, Projection.fit(columns(30, 3), ALL, "shop").matrix)


@given(st.integers(0, 2**32), st.integers(1, 8), st.sampled_from([0.3, 0.6, 1.0]))
def test_expanded_weights_score_as_the_compressed_ones(seed, n, ratio):
    rng = np.random.default_rng(seed)
    X, later = columns(20, n, seed), rng.standard_normal((6, n)) * 9
    made = Projection.fit(X, PcaSpec(ratio=ratio), "shop")
    weights, own = rng.standard_normal((len(made.axes), 2)), rng.standard_normal(2)
    full, intercept = made.expand(weights, own)
    expected = made.compress(later) @ weights + own
    np.testing.assert_allclose(later @ full + intercept, expected, atol=1e-9)
    for back, given_ in zip(made.restrict(full, intercept), (weights, own), strict=True):
        np.testing.assert_allclose(back, given_, atol=1e-9)


def test_it_comes_back_from_json_bit_for_bit_or_not_at_all():
    made = Projection.fit(columns(30, 4), PcaSpec(ratio=0.5), "shop")
    text = msgspec.json.encode(made)
    assert msgspec.json.decode(text, type=Projection) == made
    for broken in (
        text.replace(b'"axes":[[', b'"axes":[[1.0,'),
        text.replace(b'"centre":[', b'"centre":[0.0,'),
        text.replace(b'"axes":[[', b'"axes":[[null,'),
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(broken, type=Projection)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("ratio", [1.0, 0.8, 0.6])
def test_compress_step_expand_is_plain_logistic_regression_on_the_projection(ratio):
    """The published round, its Theta (n,) compressed and expanded each time, from zero."""
    X = columns(120, 10)
    y = (X @ np.random.default_rng(1).standard_normal(10) > 0).astype(float)
    made = Projection.fit(X, PcaSpec(ratio=ratio), "shop")
    W, Z = made.matrix, made.compress(X)
    l2, rate = 0.01, 0.3
    Theta, theta = np.zeros(10), np.zeros(len(W))
    for _ in range(40):
        compressed = W @ Theta
        gradient = Z.T @ (sigmoid(Z @ compressed) - y) / len(y) + l2 * compressed
        Theta = Theta - rate * np.linalg.pinv(W) @ gradient
        theta = theta - rate * (Z.T @ (sigmoid(Z @ theta) - y) / len(y) + l2 * theta)
        np.testing.assert_allclose(W.T @ theta, Theta, atol=1e-12)
    full, own = made.expand(theta[:, None], np.zeros(1))
    np.testing.assert_allclose(full[:, 0], Theta, atol=1e-12)
    np.testing.assert_allclose(X @ full + own, (Z @ theta)[:, None], atol=1e-9)
    assert np.linalg.norm(Theta) > 0.1


def test_all_axes_lose_nothing_and_fewer_lose_the_least():
    """Of all projections onto so many axes the squares left over are the smallest (Pearson)."""
    X = columns(80, 5)
    centred = X - X.mean(axis=0)
    lost = []
    for k in range(1, 6):
        made = Projection.fit(X, PcaSpec(ratio=k / 5), "shop")
        lost.append(np.sum((centred - made.compress(X) @ made.matrix) ** 2))
        rng = np.random.default_rng(k)
        for _ in range(20):
            Q, _ = np.linalg.qr(rng.standard_normal((5, k)))
            assert lost[-1] <= np.sum((centred - centred @ Q @ Q.T) ** 2) + 1e-9
    assert lost[-1] < 1e-20 * np.sum(centred**2)
    assert all(a > b for a, b in itertools.pairwise(lost))
