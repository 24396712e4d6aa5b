"""Processes that fork while their threads work, and code that runs in the midst of other code of the same thread."""
from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse import expr
from fuse.codegen import memory, syntax
from fuse.forks import cached_property

LOCKS = [expr._LOCK, sys.modules["fuse.config"]._LOCK, syntax._lock, memory._lock_of_state]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks of processes with threads
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


class Slow:
    """A value that takes until somebody says that it is done."""

    def __init__(self, begun, done):
        self.begun, self.done = begun, done

    @cached_property
    def value(self):
        self.begun.set()
        return self.done.wait(60)


def in_child(work):
    """What ``work()`` gives in a forked child, which has 30 seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            os.write(writing, pickle.dumps(work()))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        found = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return pickle.loads(found)


@forks
def test_a_child_waits_for_nothing_that_threads_of_its_parent_hold():
    begun, done = threading.Event(), threading.Event()

    def hold():
        with LOCKS[0], LOCKS[1], LOCKS[2], LOCKS[3]:
            assert Slow(begun, done).value

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait()

    def work():
        x = T.dvector("x")
        y = T.exp(x) + 1
        ready = threading.Event()
        ready.set()
        memory.addresses()
        with fuse.config.change_flags(floatX="float32"):
            return syntax.parse("x").body[0].value.id, y.ndim, Slow(ready, ready).value

    try:
        assert in_child(work) == ("x", 1, True)
    finally:
        done.set()
        holder.join()


@forks
def test_variables_of_children_are_their_own():
    made = [in_child(lambda i=i: (x := T.dvector(f"x{i}"), x * i)) for i in (2, 3)]
    (x, double), (y, triple) = made
    f = fuse.function([x, y], [double, triple], mode="FAST_COMPILE")
    np.testing.assert_array_equal(f([1.0], [10.0]), [[2.0], [30.0]])


def test_expressions_are_built_where_the_same_thread_was_building_one():
    """As in a handler of a signal, or in a finaliser."""
    with LOCKS[0], LOCKS[1], LOCKS[2], LOCKS[3]:
        x = T.dvector("x")
        assert fuse.function([x], x * 3, mode="FAST_COMPILE")([2.0]) == 6.0
        assert syntax.parse("x").body and isinstance(memory.addresses(), dict)


def test_python_without_docstrings():
    script = ("import fuse, fuse.tensor as T; x = T.dvector(); f = fuse.function([x], T.exp(x), mode='FAST_COMPILE'); "
              "print(f([0.0])[0], fuse.jit(lambda a: a + 1).__doc__)")
    done = subprocess.run([sys.executable, "-OO", "-c", script], text=True, capture_output=True, timeout=120)
    assert done.stdout.split()[0] == "1.0" and not done.stderr
