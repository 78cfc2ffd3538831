"""Every instruction level this machine has, one after the other."""

import pytest

from vfl_crypto import _native


@pytest.fixture(params=_native.cpu_levels())
def level(request):
    before = _native.cpu_level()
    _native.set_cpu_level(request.param)
    yield request.param
    _native.set_cpu_level(before)
