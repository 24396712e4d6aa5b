"""Which kernels LLVM generates code for without strength reduction, and that others who compile do not notice."""

import ast

import llvmlite.binding as llvm
import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import native, strength

ROWS = ast.parse("for i in range(n):\n for j in range(m):\n  store(y, i * m + j, load(x, i * m + j))")
COLUMNS = ast.parse("for i in range(n):\n for j in range(m):\n  store(y, i * m + j, load(x, j * n + i))")


def options(monkeypatch, tree, emit):
    """The options that were set, and what came of ``emit``."""
    told = []
    monkeypatch.setattr(llvm, "set_option", lambda name, option: told.append(option))
    try:
        return told, strength.emitted(emit, "module", tree)
    except ValueError as error:
        return told, str(error)


def test_the_option_is_taken_back(monkeypatch):
    def fail(module):
        raise ValueError(f"no {module}")

    here = native.machine().triple.startswith("x86_64") and llvm.llvm_version_info[0] <= strength.TRIED
    both = ["-disable-lsr=true", "-disable-lsr=false"] if here else []
    assert options(monkeypatch, ROWS, str.upper) == (both, "MODULE")
    assert options(monkeypatch, ROWS, fail) == (both, "no module")


@pytest.mark.parametrize("version", [22, 99])
def test_steps_and_unknown_versions_leave_it_alone(monkeypatch, version):
    monkeypatch.setattr(llvm, "llvm_version_info", (version, 0, 0))
    tree = COLUMNS if version <= strength.TRIED else ROWS
    assert options(monkeypatch, tree, str.upper) == ([], "MODULE")


def test_kernels_of_many_loops_do_without_it():
    many = ast.Module(COLUMNS.body * (strength.FEW + 1), [])
    assert strength.in_steps(COLUMNS) and not strength.in_steps(many)


def test_nothing_is_printed_where_a_loop_may_be_left_half_way(capfd):
    x, i = T.TensorType("int8", (None,))("x"), T.lvector("i")
    f = fuse.function([x, i], T.rad2deg(T.cast(x, "float32")[i]))
    np.testing.assert_allclose(f(np.array([1, 2], "int8"), [1, -2]), np.rad2deg(np.array([2, 1], "float32")), rtol=1e-6)
    assert capfd.readouterr() == ("", "")
