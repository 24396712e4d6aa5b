"""The programs of examples/ on the device, with the accuracy that tests/test_examples.py asks for on the CPU."""

from __future__ import annotations

import pytest
import test_examples
from test_examples import test_black_scholes  # noqa: F401  (in the simulator too)

import fuse
from fuse import demo

LONGER = [name for name in dir(test_examples) if name.startswith("test_") and name != "test_black_scholes"]


@pytest.fixture(autouse=True)
def on_the_device():
    with fuse.config.change_flags(device="cuda"):
        yield


@pytest.mark.parametrize("name", LONGER)
def test_example(name, real):
    getattr(test_examples, name)()


def test_the_demonstration(real):
    assert demo.run("cuda") == 0  # the accuracy that it asks for on the CPU
