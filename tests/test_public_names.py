"""Every public name says what it is and shows it in a doctest, which runs."""
from __future__ import annotations

import doctest
import inspect
import numbers
import sys
import types

import pytest

import fuse
import fuse.gradient
import fuse.integrate
import fuse.optimize
import fuse.random
import fuse.tensor
import fuse.tensor.nnet

# Data explain themselves; modules have their first line (test_project.py).
DATA = (numbers.Number, str, tuple, list, types.ModuleType)

MODULES = (fuse, fuse.tensor, fuse.tensor.nnet, fuse.gradient, fuse.integrate, fuse.optimize, fuse.random)
OBJECTS = {
    f"{module.__name__}.{name}": value
    for module in MODULES
    for name in module.__all__
    if not isinstance(value := getattr(module, name), DATA)
}


def examples(value: object) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")


def home(value: object) -> types.ModuleType:
    """The module whose globals the doctest of ``value`` means."""
    return sys.modules[getattr(value, "__module__", None) or type(value).__module__]


def test_the_public_names_are_the_public_names():
    assert len(OBJECTS) > 500
    assert {"fuse.function", "fuse.tensor.dmatrices", "fuse.tensor.nnet.relu", "fuse.gradient.grad"} <= set(OBJECTS)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_every_public_name_has_a_docstring_with_a_doctest(module):
    mine = {name: value for name, value in OBJECTS.items() if name.rpartition(".")[0] == module.__name__}
    assert [name for name, value in mine.items() if not examples(value)] == []


def test_every_doctest_shows_a_result():
    """Examples that only assign would hold nothing. verify_grad is silent where all is well."""
    silent = [name for name, value in OBJECTS.items() if not any(e.want or e.exc_msg for e in examples(value))]
    assert {name.rpartition(".")[2] for name in silent} == {"verify_grad"}


def test_the_doctests_of_public_names_are_collected():
    """pytest finds those of functions and classes; what it finds is compared with what there is."""
    finder = doctest.DocTestFinder()
    found = {inspect.cleandoc(t.docstring) for m in {home(v) for v in OBJECTS.values()} for t in finder.find(m)}
    assert [name for name, value in OBJECTS.items() if inspect.getdoc(value) not in found] == []


def generated() -> dict[str, object]:
    """Names whose doctests were made with them, one for each kind and dtype."""
    from fuse.frontend.tensor import CONSTRUCTORS

    return {f"fuse.tensor.{name}": value for name, value in CONSTRUCTORS.items() if inspect.isroutine(value)}


def test_the_doctests_of_generated_constructors_run():
    made = generated()
    assert set(made) <= set(OBJECTS)
    assert len(made) == 10 + 9 * 10  # kinds without a dtype, and the plurals of these and of eight dtypes
    runner = doctest.DocTestRunner(verbose=False)
    for name, value in made.items():
        test = doctest.DocTestParser().get_doctest(inspect.getdoc(value), dict(vars(home(value))), name, None, 0)
        assert runner.run(test) == doctest.TestResults(failed=0, attempted=len(test.examples))
