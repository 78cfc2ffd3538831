"""The batched ladder and the curve test against RFC 7748, OpenSSL and Python's own integers."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto import _native

P = 2**255 - 19

pytestmark = pytest.mark.usefixtures("level")


def points_of(*rows):
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 32)


def on_curve_by_integers(row):
    u = int.from_bytes(row, "little")
    return u < P and pow(u**3 + 486662 * u * u + u, (P - 1) // 2, P) == 1


# RFC 7748, section 5.2: scalar, u-coordinate, result.
RFC_VECTORS = [
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
]


@pytest.mark.parametrize(("scalar", "u", "expected"), RFC_VECTORS)
def test_the_ladder_gives_the_rfc_vectors(scalar, u, expected):
    raised = _native.x25519_batch(bytes.fromhex(scalar), points_of(bytes.fromhex(u)))
    assert raised.tobytes().hex() == expected


def test_a_thousand_ladders_in_a_row_give_the_rfc_value():
    k = u = bytes([9]) + bytes(31)
    for i in range(1000):
        k, u = _native.x25519_batch(k, points_of(u)).tobytes(), k
        if i == 0:
            assert k.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 127, 128, 129, 517])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_batch_size_and_thread_count_equals_openssl(count, threads):
    rng = np.random.default_rng([count, threads])
    points = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    scalar = rng.bytes(32)
    key = X25519PrivateKey.from_private_bytes(scalar)
    expected = [key.exchange(X25519PublicKey.from_public_bytes(p.tobytes())) for p in points]
    raised = _native.x25519_batch(scalar, points, threads)
    assert raised.shape == (count, 32) and raised.dtype == np.uint8
    assert [p.tobytes() for p in raised] == expected


EXTREME = st.one_of(
    st.integers(0, 2**256 - 1),
    st.integers(-40, 40).map(lambda d: (P + d) % 2**256),
    st.integers(-40, 40).map(lambda d: d % 2**256),
    # whole limbs of ones and zeros, in both radices
    st.lists(st.sampled_from([0, 2**51 - 1, 2**26 - 1, 2**51 - 2**26]), min_size=5, max_size=5).map(
        lambda limbs: sum(limb << (51 * i) for i, limb in enumerate(limbs))
    ),
)


@settings(max_examples=150)
@given(st.lists(EXTREME, min_size=1, max_size=9), st.binary(min_size=32, max_size=32))
def test_extreme_coordinates_equal_openssl_and_a_low_order_point_spoils_no_neighbour(us, scalar):
    points = points_of(*(u.to_bytes(32, "little") for u in us))
    key = X25519PrivateKey.from_private_bytes(scalar)
    for point, raised in zip(points, _native.x25519_batch(scalar, points), strict=True):
        try:
            expected = key.exchange(X25519PublicKey.from_public_bytes(point.tobytes()))
        except ValueError:  # OpenSSL refuses the all-zero result
            expected = bytes(32)
        assert raised.tobytes() == expected


@settings(max_examples=150)
@given(st.lists(EXTREME, min_size=1, max_size=9))
def test_the_curve_test_is_eulers_criterion_for_canonical_coordinates(us):
    rows = [u.to_bytes(32, "little") for u in us]
    expected = [on_curve_by_integers(row) for row in rows]
    assert _native.curve25519_on_curve(points_of(*rows)).tolist() == expected


def test_half_of_all_coordinates_lie_on_the_curve():
    points = np.random.default_rng(7).integers(0, 256, (20_000, 32), dtype=np.uint8)
    points[:, 31] &= 0x7F
    share = _native.curve25519_on_curve(points, 2).mean()
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(20_000)


def test_a_scalar_of_another_length_and_points_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        _native.x25519_batch(bytes(31), np.zeros((1, 32), np.uint8))
    with pytest.raises(TypeError):
        _native.x25519_batch(bytes(32), np.zeros((1, 31), np.uint8))
    with pytest.raises(TypeError):
        _native.curve25519_on_curve(np.zeros((1, 32), np.int8))
