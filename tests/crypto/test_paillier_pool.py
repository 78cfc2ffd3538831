"""The pool of randomness: bounded, each element once, gone after a fork, quiet after close."""

import copy
import gc
import itertools
import os
import pickle
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

from vfl_crypto.errors import CryptoError
from vfl_crypto.paillier import PaillierScheme, blinding
from vfl_crypto.paillier.limbs import from_limbs
from vfl_crypto.paillier.pool import RandomnessPool


class Counter:
    """Rows 0, 1, 2, ...: an element that appears twice was used twice."""

    def __init__(self):
        self.numbers = itertools.count()
        self.lock = threading.Lock()

    def short(self, count, threads):
        with self.lock:
            rows = [next(self.numbers) for _ in range(count)]
        return np.array(rows, dtype=np.uint64).reshape(count, 1)

    full = short


@pytest.fixture
def pool():
    pool = RandomnessPool(Counter(), 40)
    yield pool
    pool.close()


def wait_until(true):
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.002)


def fill(pool):
    pool.short(0, 1)
    pool.full(0, 1)
    wait_until(lambda: pool.ready == (40, 40))


def pool_threads():
    return [t for t in threading.enumerate() if t.name == "paillier-pool"]


def test_nothing_is_made_ahead_before_the_first_call(pool):
    assert pool.ready == (0, 0)
    assert not pool_threads()


def test_it_fills_to_its_size_and_no_further(pool):
    fill(pool)
    time.sleep(0.05)
    assert pool.ready == (40, 40)
    assert len(pool_threads()) == 2


def test_many_threads_never_get_the_same_element(pool):
    taken = []

    def work(seed):
        for count in np.random.default_rng(seed).integers(0, 60, 100):
            make = pool.short if count % 2 else pool.full
            rows = make(int(count), 1)
            assert rows.shape == (count, 1)
            taken.append(from_limbs(rows))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    numbers = list(itertools.chain(*taken))
    assert len(set(numbers)) == len(numbers) > 5000


def test_a_forked_child_has_none_of_the_elements_and_waits_for_nobody(pool):
    fill(pool)
    blinding._building.acquire()  # as while a thread of the parent builds tables
    read, write = os.pipe()
    with warnings.catch_warnings():  # newer Pythons warn of threads at a fork: they are the point
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        ready = pool.ready
        free = blinding._building.acquire(timeout=5)
        os.write(write, bytes([sum(ready), len(pool_threads()), free]))
        os._exit(0)
    os.waitpid(child, 0)
    blinding._building.release()
    assert os.read(read, 3) == bytes([0, 0, 1])
    os.close(read)
    os.close(write)
    assert pool.ready == (40, 40)


def test_close_ends_the_threads_and_later_calls_still_work(pool):
    fill(pool)
    before = from_limbs(pool.short(3, 1))
    pool.close()
    assert not pool_threads()
    assert pool.ready == (0, 0)
    after = from_limbs(pool.short(50, 1))
    assert len(after) == 50
    assert not set(before) & set(after)
    assert not pool_threads()


def test_a_forgotten_pool_ends_its_threads():
    pool = RandomnessPool(Counter(), 40)
    fill(pool)
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    wait_until(lambda: not pool_threads())


def test_a_pool_is_never_copied(pool):
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(CryptoError, match="never pickled"):
            attempt(pool)
    with pytest.raises(CryptoError, match="at least one"):
        RandomnessPool(Counter(), 0)


def test_a_scheme_with_a_pool_encrypts_the_same_values():
    scheme = PaillierScheme(2048, threads=1, window=4, pool=8)
    holder = scheme.generate()
    values = np.arange(-10.0, 10.0) / 4
    with pytest.raises(CryptoError, match="never pickled"):
        copy.deepcopy(holder.encryptor._blinding)
    for encryptor in (holder.encryptor, scheme.encryptor(holder.public_key)):
        encryptor.encrypt(values[:1])
        wait_until(lambda e=encryptor: e._blinding.ready[0] == 8)
        c = encryptor.encrypt(values)
        again = encryptor.encrypt(values, onto=encryptor.rmatmul(np.eye(20), c))
        assert len({*from_limbs(c.body), *from_limbs(again.body)}) == 40
        decrypted = holder.decrypt(again)._values
        assert np.array_equal(decrypted, 2 * holder.decrypt(c)._values)
        encryptor.close()
    holder.close()
    assert not pool_threads()
