"""What somebody new is told: mistakes, where they are, and what to write instead; names, signatures, completion."""

from __future__ import annotations

import inspect
import pickle
import traceback

import numpy as np
import pytest
import sympy

import fuse
import fuse.tensor as T
from fuse.errors import FuseAttributeError
from fuse.op import OPS

x, y, s, n = T.dvector("x"), T.dvector("y"), T.dscalar("s"), T.iscalar("n")
M = T.dmatrix("M")


def step_of_two(a, b):
    return a * b


MISTAKES = {  # (the mistake, what the message says)
    "truth": (lambda: 0 < s < 1, TypeError, r"s > 0.*switch.*\(a < b\) & \(b < c\).*maximum"),
    "max": (lambda: max(x, y), TypeError, "maximum and minimum"),
    "format": (lambda: f"{s:.3f}", TypeError, r"expression s .*'\.3f'.*s\.eval"),
    "sympy": (lambda: x + sympy.Symbol("a"), TypeError, r"Symbol .*from_sympy\("),
    "axis": (lambda: M.sum(axis=2), ValueError, "axis 2 is out of bounds for 2 dimensions: there are -2 to 1"),
    "axis of a scalar": (lambda: T.stack([s, s]).sum(axis=1), IndexError, "there are -1 to 0"),
    "axis as a float": (lambda: M.sum(axis=1.0), TypeError, "sequence of integers or None, not 1.0"),
    "attribute": (lambda: x.reshpae((2, 2)), AttributeError, "did you mean 'reshape'"),
    "method of another library": (lambda: s.backward(), AttributeError, r"fuse\.grad\(cost, x\)"),
    "value": (lambda: s.item(), AttributeError, r"no value yet: write x\.eval"),
    "function as a method": (lambda: x.softmax(), AttributeError, r"fuse\.tensor\.nnet\.softmax\(x\)"),
    "name in tensor": (lambda: T.dmatix("m"), AttributeError, "did you mean 'dmatrix'"),
    "name elsewhere": (lambda: T.sofmax(x), AttributeError, r"did you mean fuse\.tensor\.nnet\.softmax"),
    "name in fuse": (lambda: fuse.fucntion([x], x), AttributeError, "did you mean 'function'"),
    "step": (
        lambda: fuse.scan(step_of_two, outputs_info=s, n_steps=3), TypeError,
        r"0 elements of sequences, 1 earlier values .* 0 non_sequences.*takes \(a, b\): missing .*'b'",
    ),
    "cost": (lambda: T.grad(x * y, x), TypeError, r"scalar cost(.|\n)*built at test_messages\.py:\d+: .*x \* y"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told(name):
    mistake, kind, text = MISTAKES[name]
    with pytest.raises(kind, match=text):
        mistake()


def test_errors_of_the_users_own_step_are_their_own():
    def step(a):
        return len(3)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="object of type 'int' has no len"):
        fuse.scan(step, outputs_info=s, n_steps=3)


def test_unknown_flags_are_warned_of():
    change = fuse.config.change_flags(thraeds=2)
    with pytest.warns(UserWarning, match="no such setting; did you mean 'threads'"), change:
        pass


def test_a_cell_that_ran_twice_is_told_of():
    """The variable of a name is made again, and the formula still has the old one."""
    old = T.dvector("weights")
    cost = (old**2).sum()
    new = T.dvector("weights")
    told = r"another variable called 'weights' was made at test_messages\.py:\d+: .*run twice"
    with pytest.raises(fuse.errors.DisconnectedInputError, match=told):
        fuse.grad(cost, new)
    with pytest.raises(fuse.errors.UnusedInputError, match=told):
        fuse.function([new], cost)
    with pytest.raises(fuse.errors.MissingInputError, match=told):
        fuse.function([new], cost * new.sum())
    with pytest.raises(fuse.errors.DisconnectedInputError) as caught:
        fuse.grad(cost, y)
    assert "y was made at test_messages.py" in str(caught.value) and "twice" not in str(caught.value)


def test_missing_attributes_are_ordinary_ones():
    assert not hasattr(x, "summ") and getattr(x, "detach", None) is None
    with pytest.raises(FuseAttributeError) as caught:
        print(x.summ)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert "".join(traceback.format_exception_only(caught.value)).count("mean") == 1  # Python adds no guess of its own
    assert f"{T.constant(1.25):.1f} {s}" == "1.2 s"


def test_errors_of_calls_show_no_frames_of_the_inside():
    f = fuse.function([x, n], x[n] + T.dot(x, x), name="f")
    g = fuse.function([x, y], x + y)
    for call in (lambda: f(np.ones(3), 7), lambda: g(np.ones(3), np.ones(4)), lambda: g("text", np.ones(4))):
        with pytest.raises(fuse.FuseError) as caught:
            call()
        files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert sum("compiled.py" in name for name in files) == len(files) - 2, files  # this test, and its lambda
    with fuse.config.change_flags(exception_verbosity="high"), pytest.raises(fuse.FuseError) as caught:
        g(np.ones(3), np.ones(4))
    assert any("program.py" in frame.filename for frame in traceback.extract_tb(caught.value.__traceback__))


@fuse.as_op([T.dvector], [T.dvector])
def refuses(values):
    raise fuse.errors.FuseValueError("these values")


def test_frames_of_the_users_own_ops_stay():
    f = fuse.function([x], refuses(x))
    with pytest.raises(ValueError, match="these values") as caught:
        f(np.ones(2))
    assert any(frame.name == "refuses" for error in (caught.value, caught.value.__cause__) if error is not None
               for frame in traceback.extract_tb(error.__traceback__))


def test_signatures_are_those_that_users_call():
    assert str(inspect.signature(T.reshape)).replace("'", "").startswith("(x: Any, *newshape: Any, ndim: int | None")
    for owner in (fuse, T, T.nnet, T.linalg, type(x)):
        for name in [name for name in dir(owner) if not name.startswith("_")]:
            value = getattr(owner, name)
            if getattr(value, "op", None) in OPS.values():
                assert "Op'" not in str(inspect.signature(value)), name
    assert list(inspect.signature(T.join).bind(0, x, y).arguments) == ["axis", "xs"]


def test_completion_offers_public_names_only():
    offered = {name for name in dir(fuse) if not name.startswith("_")}
    assert offered == set(fuse.__all__) and {"function", "grad", "scan", "tensor", "jit"} <= offered
    assert not {"sys", "importlib", "Any", "annotations", "no_attribute"} & offered
