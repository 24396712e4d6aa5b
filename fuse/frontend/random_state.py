"""The states of random variables: how they begin, and what programs do with them."""
from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError
from fuse.frontend.shared import SharedVariable


def entropy_of(seed: Any) -> Any:
    """What numpy.random.SeedSequence takes: non-negative integers; from the operating system for None."""
    if seed is None:
        return np.random.SeedSequence().entropy
    try:
        listed = [index(s) for s in np.atleast_1d(np.asarray(seed, dtype=object)).ravel()]
    except (TypeError, ValueError):
        raise FuseTypeError(f"a seed is an integer or a sequence of integers, not {seed!r}") from None
    return [s & 0xFFFFFFFFFFFFFFFF if s < 0 else s for s in listed]


def first_state(entropy: Any, *number: int) -> np.ndarray[Any, Any]:
    key = np.random.SeedSequence(entropy, spawn_key=number).generate_state(1, np.uint64)[0]
    return np.array([key, 0], dtype="uint64")


class State(np.ndarray[Any, Any]):
    """The state (key, count) of a random variable, with the methods of NumPy's ``RandomState`` that people call on it.

    >>> from fuse.tensor.shared_randomstreams import RandomStreams
    >>> u = RandomStreams(seed=1).uniform()
    >>> state = u.rng.get_value()
    >>> state.seed(5)
    >>> u.rng.set_value(state)
    """

    def seed(self, seed: Any = None) -> None:
        """Start again from ``seed``: an integer or several, None for one from the operating system."""
        self[...] = first_state(entropy_of(seed))

    def get_state(self) -> np.ndarray[Any, Any]:
        """A copy, for ``set_state``."""
        return np.array(self)

    def set_state(self, state: Any) -> None:
        """Put back what ``get_state`` gave."""
        self[...] = state


class StateVariable(SharedVariable):
    """The shared variable that holds the state of a random variable: ``draw.rng``."""

    __slots__ = ()

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> np.ndarray[Any, Any]:
        """The state: a copy, or with ``borrow`` the one that the next call uses."""
        return super().get_value(borrow).view(State)

    def set_value(self, new_value: Any, borrow: bool = False) -> None:
        """Replace the state; a ``RandomState`` of NumPy's serves as a seed, and stays as it is."""
        if isinstance(new_value, np.random.RandomState):
            _, keys, place, *_ = new_value.get_state(legacy=True)
            new_value = first_state([int(k) for k in (*keys, place)])
        super().set_value(np.asarray(new_value), borrow)
