"""Tests on a real GPU, by a command of their own: ``pytest tests/gpu``. Without a GPU each is skipped, with the reason.

Most are those of tests/test_cuda.py, which runs them in the simulator. ``NUMBA_ENABLE_CUDASIM=1`` has this folder run
in the simulator too, without what would take hours there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ["FUSE_TEST_GPU"] = "1"  # tests/test_cuda.py asks for the simulator where this is not set
sys.path.insert(0, str(Path(__file__).parents[1]))
SHOWN_TOO = "test_cuda", "test_cuda_little", "test_cuda_replay", "test_examples", "elementwise_cases"
pytest.register_assert_rewrite(*SHOWN_TOO)


def _missing():
    """Why there is no GPU, or None where there is one."""
    from fuse.codegen import device
    from fuse.errors import DeviceError

    try:
        device.current()
    except DeviceError as error:
        return str(error)
    return None


def pytest_collection_modifyitems(items):
    here = [item for item in items if Path(item.path).is_relative_to(Path(__file__).parent)]
    why = _missing() if here else None
    for item in here:
        if why is not None:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def real():
    """For tests that only a card can run."""
    from fuse.codegen import device

    if device.current().simulated:
        pytest.skip("needs a GPU: the simulator is too slow for it, or shows nothing of it")
