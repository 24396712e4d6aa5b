"""Kernels for GPUs without a GPU: programs are planned, and PTX is read as it is written."""
from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import ptx_cases
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import device_code
from fuse.codegen.ptx import Compiled, compiling, missing, ptx_of
from fuse.devices import is_simulated
from fuse.errors import DeviceError

TEXT = """
.visible .entry part0(
\t.param .u64 part0_param_0
)
{
\t.local .align 4 .b8 \t__local_depot0[28];
\t.reg .f64 \t%fd<4>;

\tld.param.u64 \t%rd1, [part0_param_0];
\tld.global.v4.f32 \t{%f1, %f2, %f3, %f4}, [%rd1];
\t@%p1 bra \t$L__BB0_2;
\t{ // callseq 0, 0
\tcall.uni (retval0),
\thelper,
\t(
\tparam0
\t);
\t} // callseq 0
\t@!%p2 add.f32 \t%f5, %f1, %f2; // add.f64
\tret;

}
"""


def test_ptx_is_read_as_instructions_calls_and_local_memory():
    kernel = Compiled("", TEXT, (9, 0))
    assert kernel.count(r"ld\.global\.v4\.f32") == 1 and kernel.count("add.f32") == 1
    assert not kernel.count(r"add\.f64")
    assert kernel.together(r"ld\.global.*") == 1 and kernel.together(r"ld\..*") == 2
    assert kernel.calls == ("helper",) and kernel.local_bytes == 28


def test_programs_for_gpus_are_planned_without_one_and_do_not_run():
    x = T.fmatrix("x")
    with compiling((8, 0)):
        f = fuse.function([x], T.nnet.softmax(x), device="cuda")
        assert "together" in f.source and "launch 0" in f.explain()
        with pytest.raises(DeviceError, match="nothing to run on"):
            f(np.ones((2, 3), "float32"))


@pytest.mark.parametrize(
    "made, options, said",
    [(b"mul.rn.f32", {}, None), (b"mul.f32", {}, "pass on"), (b"", {"gen-lto": None}, "pass on"), (None, {}, "know")],
)
def test_whether_products_and_sums_are_rounded_one_by_one_is_looked_at(made, options, said, monkeypatch):
    nvvm = SimpleNamespace(compile_ir=lambda ir, **options: made if options["fma"] is False else b"fma.rn.f32")
    monkeypatch.setitem(sys.modules, "numba.cuda.cudadrv", SimpleNamespace(nvvm=nvvm))
    monkeypatch.setattr(device_code, "_warned", [])
    for expected in [said] + [None] * (said is not None):  # one warning in a process
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with device_code.rounding_each():
                assert made is None or nvvm.compile_ir("", **options) == made
        assert [expected in str(w.message) for w in seen] == [True] * (expected is not None)


def test_the_list_of_what_is_compiled_can_be_made():
    """`python -m tests.ptx` takes compilers that are not here."""
    listed = ptx_cases.cases(True)
    assert len({case.name for case in listed}) == len(listed) > 80


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_formula_in_float32_stays_in_float32():
    x = T.fvector("x")
    for capability in ((8, 0), (9, 0)):
        (kernel,) = ptx_of([x], [T.exp(x) * 2], capability)
        assert f".target sm_{capability[0]}0" in kernel.text
        assert kernel.count(r"ld\.global\.v4\.f32") and not kernel.count(r".*f64.*") and not kernel.calls


@pytest.mark.skipif(find_spec("numba_cuda") is not None and not is_simulated(), reason="numba-cuda is here")
def test_without_a_compiler_that_is_said():
    x = T.fvector("x")
    with pytest.raises(DeviceError, match=r"kernels cannot be compiled for GPUs: .*(numba-cuda|CUDASIM)"):
        ptx_of([x], [T.exp(x)])
