"""Rounding between residues and bits, and the byte form of residues, against Python's integers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto import _native

# primes = 1 mod 8192: the largest of each size, then the smallest
P30 = [1073692673, 536903681]
P35 = [34359697409, 34359451649, 17179926529]
P49 = [562949953216513, 562949952987137, 562949952970753, 281474976768001]
P60 = [1152921504606830593, 1152921504606748673, 576460752303439873]
BASES = [
    P30[:1], P30, P35[:1], P35[:2], P35, P49[:1], P49[:3], P49, P60[:1], P60[:2], P60,
    [P60[0], P35[0], P49[0], P30[0]],
]  # fmt: skip


def prod(primes):
    return math.prod(primes)


def residues(numbers, primes):
    """Integers (any nesting of lists as an object array) -> uint64 (..., k, m)."""
    numbers = np.asarray(numbers, dtype=object)
    return np.stack([(numbers % q).astype(np.uint64) for q in primes], axis=-2)


def numbers_of(x, primes):
    """The inverse, by the Chinese remainder theorem."""
    Q = prod(primes)
    idempotents = [(Q // q) * pow(Q // q, -1, q) for q in primes]
    limbs = [x[..., i, :].astype(object) * e for i, e in enumerate(idempotents)]
    return sum(limbs) % Q


def stream_of(words, widths):
    """Words end to end as little-endian bytes."""
    total = place = 0
    for word, width in zip(words, widths, strict=True):
        total |= int(word) << place
        place += width
    return total.to_bytes(-(-place // 8), "little")


def rounded(x, Q, bits):
    return (2 * x * 2**bits + Q) // (2 * Q) % 2**bits


def raised(v, Q, bits):
    return (2 * Q * v + 2**bits) // 2 ** (bits + 1) % Q


def random_below(bound, count, rng):
    return [int.from_bytes(rng.bytes(40), "little") % bound for _ in range(count)]


def hard_numbers(Q, bits, rng):
    """Zero and its neighbours, borders between rounded values, the nearest misses of a half."""
    targets = {0, 1, 2**bits - 1, 2**bits // 2, *random_below(2**bits, 20, rng)}
    borders = {(2 * t + 1) * Q // 2 ** (bits + 1) + d for t in targets for d in range(-2, 4)}
    half = pow(2**bits, -1, Q)  # 2^bits x = (Q +- 1) / 2 modulo Q, as near to a half as it goes
    misses = {((Q + d) // 2) * half for d in (-3, -1, 1, 3)}
    return sorted({x % Q for x in {0, 1, Q - 1, Q // 2, Q // 2 + 1} | borders | misses})


@pytest.mark.parametrize("primes", BASES, ids=str)
def test_scaling_is_exact_rounding(primes):
    rng = np.random.default_rng(len(primes))
    rns, Q = _native.Rns(primes), prod(primes)
    assert rns.primes == primes
    for bits in (1, 2, 7, 31, 34, 36, 45, 55, 56, 57, 63, 64):
        x = hard_numbers(Q, bits, rng) + random_below(Q, 60, rng)
        down = rns.scale_down(residues(x, primes), bits)
        assert down.dtype == np.uint64
        assert down.tolist() == [rounded(v, Q, bits) for v in x]
        edges = [0, 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 2**bits - 1]
        values = edges + random_below(2**bits, 60, rng)
        up = rns.scale_up(np.array(values, dtype=np.uint64), bits)
        assert up.dtype == np.uint64 and up.shape == (len(primes), len(values))
        assert np.array_equal(up, residues([raised(v, Q, bits) for v in values], primes))
        if 2**bits < Q:
            assert rns.scale_down(up, bits).tolist() == values


@pytest.mark.parametrize("primes", BASES, ids=str)
@pytest.mark.parametrize(
    "bits", [1, 8, 38, 45, 56, 57, 64, 65, 72, 100, 110, 111, 112, 113, 128, 129, 135, 160]
)
def test_a_compressed_polynomial_is_its_rounded_numbers_end_to_end(primes, bits):
    rng = np.random.default_rng([len(primes), bits])
    rns, Q = _native.Rns(primes), prod(primes)
    x = hard_numbers(Q, bits, rng) + random_below(Q, 300, rng)
    expected = [rounded(v, Q, bits) for v in x]
    packed = rns.compress(residues(x, primes), bits)
    assert packed.dtype == np.uint8
    assert packed.tobytes() == stream_of(expected, [bits] * len(x))
    back = rns.decompress(packed, bits, len(x))
    assert np.array_equal(back, residues([raised(v, Q, bits) for v in expected], primes))
    if 2**bits < Q:
        assert np.array_equal(rns.compress(back, bits), packed)


def test_values_count_modulo_their_bits():
    rns = _native.Rns(P35[:2])
    v = np.array([5, 2**36 + 5, 2**64 - 1], dtype=np.uint64)
    assert np.array_equal(rns.scale_up(v, 36), rns.scale_up(v % 2**36, 36))


@pytest.mark.parametrize("m", [0, 1, 2, 7, 255, 256, 257, 600])
@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (0,), (3, 0)])
def test_every_length_shape_and_thread_count_agrees_with_one_polynomial_at_a_time(m, leading):
    rng = np.random.default_rng(m)
    primes = P49[:3]
    rns = _native.Rns(primes)
    x = np.stack([rng.integers(0, q, (*leading, m), dtype=np.uint64) for q in primes], axis=-2)
    for bits in (45, 90, 135):
        packed = rns.compress(x, bits)
        assert packed.shape == (*leading, -(-m * bits // 8))
        back = rns.decompress(packed, bits, m)
        assert back.shape == x.shape
        assert np.array_equal(rns.compress(x, bits, 2), packed)
        assert np.array_equal(rns.decompress(packed, bits, m, 2), back)
        for index in np.ndindex(leading):
            assert np.array_equal(rns.compress(x[index], bits), packed[index])
            assert np.array_equal(rns.decompress(packed[index], bits, m), back[index])
    down = rns.scale_down(x, 45)
    assert down.shape == (*leading, m)
    assert np.array_equal(rns.scale_down(x, 45, 2), down)
    assert np.array_equal(rns.scale_up(down, 45, 2), rns.scale_up(down, 45))
    packed = rns.pack(x)
    assert packed.shape == (*leading, rns.packed_bytes(m))
    assert np.array_equal(rns.pack(x, 2), packed)
    assert np.array_equal(rns.unpack(packed, m, 2), x)
    for index in np.ndindex(leading):
        assert np.array_equal(rns.pack(x[index]), packed[index])
        assert np.array_equal(rns.scale_down(x[index], 45), down[index])


bases = st.sampled_from(BASES)


@settings(max_examples=200)
@given(primes=bases, data=st.data())
def test_packed_residues_are_their_bits_end_to_end(primes, data):
    m = data.draw(st.integers(0, 12))
    extremes = [st.one_of(st.integers(0, q - 1), st.sampled_from([0, q - 1])) for q in primes]
    x = [data.draw(st.lists(words, min_size=m, max_size=m)) for words in extremes]
    rns = _native.Rns(primes)
    packed = rns.pack(np.array(x, dtype=np.uint64).reshape(len(primes), m))
    widths = [q.bit_length() for q in primes for _ in range(m)]
    assert packed.tobytes() == stream_of([word for limb in x for word in limb], widths)
    assert rns.unpack(packed, m).tolist() == x


@settings(max_examples=400)
@given(primes=bases, data=st.data())
def test_unpack_takes_exactly_the_strings_that_pack_gives(primes, data):
    m = data.draw(st.integers(1, 6))
    rns = _native.Rns(primes)
    size = rns.packed_bytes(m)
    if data.draw(st.booleans()):  # random bytes seldom pass; near misses of a right string do
        string = data.draw(st.binary(min_size=size, max_size=size))
    else:
        x = [[data.draw(st.integers(max(q - 3, 0), q - 1)) for _ in range(m)] for q in primes]
        string = rns.pack(np.array(x, dtype=np.uint64)).tobytes()
        flips = data.draw(st.sets(st.integers(0, 8 * size - 1), max_size=2))
        string = (int.from_bytes(string, "little") ^ sum(1 << f for f in flips)).to_bytes(
            size, "little"
        )
    whole, place, valid = int.from_bytes(string, "little"), 0, True
    for q in primes:
        for _ in range(m):
            valid = valid and (whole >> place) % 2 ** q.bit_length() < q
            place += q.bit_length()
    valid = valid and whole >> place == 0
    packed = np.frombuffer(string, dtype=np.uint8)
    if valid:
        assert rns.pack(rns.unpack(packed, m)).tobytes() == string
    else:
        with pytest.raises(ValueError):
            rns.unpack(packed, m)


def test_what_unpack_refuses_it_names():
    rns = _native.Rns(P35[:2])
    x = np.zeros((3, 2, 5), dtype=np.uint64)
    x[2, 1, 3] = P35[1]
    with pytest.raises(
        ValueError, match=r"polynomial 2, limb 1, word 3 is not below its prime 34359451649"
    ):
        rns.unpack(rns.pack(x), 5)
    with pytest.raises(ValueError, match=r"\(\.\.\., 44\), not \(3, 43\)"):
        rns.unpack(np.zeros((3, 43), dtype=np.uint8), 5)
    padded = rns.pack(x[:1])
    padded[0, -1] |= 0x80
    with pytest.raises(ValueError, match="not zero"):
        rns.unpack(padded, 5)


@pytest.mark.parametrize("bit", [5, 6, 7])
def test_decompress_refuses_padding_that_is_not_zero(bit):
    rns = _native.Rns(P35[:2])
    packed = np.zeros((2, 17), dtype=np.uint8)  # 3 numbers of 45 bits: 135 of 136
    packed[1, 16] = 1 << bit
    if bit == 7:
        with pytest.raises(ValueError, match="not zero"):
            rns.decompress(packed, 45, 3)
    else:
        assert rns.decompress(packed, 45, 3)[1, :, 2].any()


def test_wrong_bases_bits_and_shapes_are_refused():
    for primes, why in [
        ([], "1 to 4"), (P49 + P35[:1], "1 to 4"), ([P35[0], P35[0]], "twice"),
        ([*P60, P30[1]], "2\\^200"), ([0], "not a prime"), ([2], "not a prime"),
        ([131071], "not a prime"), ([2305843009213693967], "not a prime"),  # 17 bits, 62 bits
        ([2**40 + 1], "not a prime"), ([P30[0] * 3], "not a prime"),
        ([341550071728321], "not a prime"),  # a strong pseudoprime to the bases 2 to 17
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=why):
            _native.Rns(primes)
    _native.Rns([2305843009213693951, 131101])  # 2^61 - 1; the smallest prime of 18 bits
    rns, x = _native.Rns(P35[:2]), np.zeros((2, 5), dtype=np.uint64)
    for bits in (0, 65):
        with pytest.raises(ValueError, match=f"1 to 64, not {bits}"):
            rns.scale_down(x, bits)
        with pytest.raises(ValueError, match=f"1 to 64, not {bits}"):
            rns.scale_up(x, bits)
    for bits in (0, 161):
        with pytest.raises(ValueError, match=f"1 to 160, not {bits}"):
            rns.compress(x, bits)
        with pytest.raises(ValueError, match=f"1 to 160, not {bits}"):
            rns.decompress(np.zeros(5, dtype=np.uint8), bits, 1)
    for wrong in (x[0], np.zeros((3, 5), dtype=np.uint64)):
        for call in (rns.pack, lambda x: rns.scale_down(x, 9), lambda x: rns.compress(x, 9)):
            with pytest.raises(ValueError, match=r"must have shape \(\.\.\., 2, m\), not \("):
                call(wrong)
    with pytest.raises(ValueError, match="axis"):
        rns.scale_up(np.zeros((), dtype=np.uint64), 9)
    with pytest.raises(TypeError):
        rns.pack(x.astype(np.int64))


@pytest.mark.parametrize("m", [2**41, 2**61, 2**64 - 1])
def test_a_length_no_machine_holds_is_an_error_and_no_allocation(m):
    rns, empty = _native.Rns(P35[:2]), np.zeros((3, 0), dtype=np.uint8)
    for call in (
        lambda: rns.packed_bytes(m),
        lambda: rns.unpack(empty, m),
        lambda: rns.decompress(empty, 8, m),
    ):
        with pytest.raises(ValueError, match=r"2\^40"):
            call()


def test_residues_out_of_range_are_harmless():
    rns = _native.Rns(P60)
    x = np.full((3, 300), 2**64 - 1, dtype=np.uint64)
    for bits in (1, 64, 110, 160):
        packed = rns.compress(x, bits)
        assert packed.size == -(-300 * bits // 8)
    assert rns.pack(x).size == rns.packed_bytes(300)
    assert rns.scale_down(x, 64).size == 300


def test_gathered_words_are_those_of_their_places():
    primes = [P35[0], P30[0]]
    rns, rng = _native.Rns(primes), np.random.default_rng(3)
    column = np.array(primes, dtype=np.uint64)[:, None]
    x = np.stack([rng.integers(0, q, (3, 2, 100), dtype=np.uint64) for q in primes], axis=2)
    plus = np.stack([rng.integers(0, q, 9000, dtype=np.uint64) for q in primes])
    plus[:, :50] = column - np.uint64(1)
    which, at = rng.integers(0, 3, 9000), rng.integers(0, 100, 9000)
    places = which * x[0].size + at
    expected = (x[which, 0, :, at].T + plus) % column
    for threads in (1, 2, 5):
        assert np.array_equal(rns.gather_add(x, places, plus, threads), expected)
    for bad in (-1, x.size - 100, 2**63 - 1, -(2**63)):
        places[7] = bad
        with pytest.raises(ValueError, match=r"outside the polynomials"):
            rns.gather_add(x, places, plus)
    with pytest.raises(ValueError, match=r"plus must have shape"):
        rns.gather_add(x, places, plus[:, 1:].copy())
