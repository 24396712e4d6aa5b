"""Frozen dataclasses of ours do what those of ``dataclasses`` do."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from typing import Any, ClassVar

import pytest

from fuse.frozen import dataclass


def _classes(dataclass):
    """The same classes by either decorator."""

    @dataclass(frozen=True)
    class Plain:
        """A class."""

        a: int
        b: str = "b"
        c: list = dataclasses.field(default_factory=list, compare=False)
        d: float = dataclasses.field(default=2.0, repr=False)
        e: int = dataclasses.field(init=False, default=7)
        shared: ClassVar[int] = 3

    @dataclass(frozen=True)
    class One:
        a: Any

        def __post_init__(self):
            object.__setattr__(self, "a", (self.a,))

        def __repr__(self):
            return f"<{self.a}>"

    @dataclass(frozen=True, eq=False)
    class ById:
        a: int

    @dataclass(frozen=True)
    class ByWill:
        a: int

        def __eq__(self, other):
            return isinstance(other, ByWill) and self.a % 10 == other.a % 10

        def __hash__(self):
            return 5

    @dataclass(frozen=True)
    class Longer(Plain):
        f: int = 1

    @dataclass
    class Open:
        a: int = 0

    return Plain, One, ById, ByWill, Longer, Open


OURS, THEIRS = _classes(dataclass), _classes(dataclasses.dataclass)


def _both(expression):
    """What an expression gives with either set of classes."""
    found = []
    for classes in (OURS, THEIRS):
        names = dict(zip(("Plain", "One", "ById", "ByWill", "Longer", "Open"), classes, strict=True))
        try:
            found.append(eval(expression, {**names, "replace": dataclasses.replace, "astuple": dataclasses.astuple,
                                           "fields": dataclasses.fields, "signature": inspect.signature}))
        except Exception as error:
            found.append((type(error), str(error).replace("_classes.<locals>.", "").partition(".")[2] or str(error)))
    return found


@pytest.mark.parametrize("expression", [
    "repr(Plain(1)), repr(Plain(1, 'x', [2], 3.0)), repr(One(1)), repr(ByWill(3)), repr(Longer(1, f=2))",
    "Plain(1) == Plain(1, c=[5]), Plain(1) == Plain(2), Plain(1) != Plain(1, d=3.0), Plain(1) == Longer(1)",
    "hash(Plain(1)) == hash(Plain(1, c=[5])), hash(Plain(1)) == hash((1, 'b', 2.0, 7)), hash(One(4)) == hash(((4,),))",
    "hash(ByWill(1)), ByWill(1) == ByWill(11), ById(1) == ById(1), len({ById(1), ById(1)})",
    "astuple(Plain(1)), astuple(replace(Plain(1), b='z')), astuple(Longer(1, f=3)), [f.name for f in fields(Plain)]",
    "Plain.__match_args__, Plain.shared, Plain(1).e, Plain(1).c is Plain(1).c, list(signature(Plain).parameters)",
    "Plain()", "Plain(1, e=2)", "Plain(1, z=2)", "Plain(1) < Plain(2)", "One(1) == 1",
    "repr(Open(1)), Open() == Open(0)",
    "setattr(Plain(1), 'a', 2)", "setattr(Plain(1), 'new', 2)", "delattr(Plain(1), 'a')", "setattr(Longer(1), 'f', 2)",
])
def test_both_decorators_give_the_same(expression):
    ours, theirs = _both(expression)
    assert ours == theirs


def test_subclasses_have_attributes_of_their_own():
    for plain, *_ in (OURS, THEIRS):
        class Own(plain):
            pass

        own = Own(1)
        own.further = 5
        assert own.further == 5
        with pytest.raises(dataclasses.FrozenInstanceError):
            own.a = 2
        del own.further
        with pytest.raises(TypeError):
            dataclasses.dataclass(type("Open", (plain,), {}))  # as it is not frozen


@dataclass(frozen=True)
class Kept:
    a: int
    b: tuple = ()


def test_objects_are_pickled():
    kept = Kept(1, (2, 3))
    assert pickle.loads(pickle.dumps(kept)) == kept
