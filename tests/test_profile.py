"""Profiles: each step of a function is counted, timed and named; functions without one are not watched at all."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.compile import ProfileStats


def steps(f):
    return {r["step"].split(":")[0].split("(")[0]: r for r in f.profile.records()}


def test_each_kind_of_step_has_its_row():
    x, s = T.dmatrix("x"), T.dvector("s")
    w = fuse.shared(np.eye(3), "w")
    states, _ = fuse.scan(lambda u, h: T.tanh(h + u), sequences=s, outputs_info=T.constant(0.0))
    out = [T.exp(x).sum(), T.nlinalg.matrix_inverse(x), states[-1]]
    f = fuse.function([x, s], out, updates=[(w, w + T.dot(x, w))], profile=True, name="all")
    plain = fuse.function([x, s], out)
    value = np.eye(3) + 0.1
    for _ in range(6):
        got = f(value, np.ones(7))
    for a, b in zip(got, plain(value, np.ones(7)), strict=True):
        np.testing.assert_array_equal(a, b)
    rows = steps(f)
    assert {"kernel 0", "matrix_inverse", "loop", "sum of product", "the rest"} <= set(rows)
    assert {r["calls"] for r in rows.values()} == {6}
    assert rows["matrix_inverse"]["bytes"] == 6 * 2 * 72 and rows["sum of product"]["bytes"] >= 6 * 4 * 72
    assert all("test_profile.py:" in rows[k]["line"] for k in ("kernel 0", "matrix_inverse", "loop"))
    assert sum(r["share"] for r in rows.values()) <= 1 + 1e-9
    seconds = [r["seconds"] for r in f.profile.records()[:-1]]
    assert seconds == sorted(seconds, reverse=True) and all(t > 0 for t in seconds)
    assert all(r["compiles"] + r["cache_hits"] >= 1 for r in rows.values() if r["kind"] in ("kernel", "loop"))


def test_bytes_are_of_memory_that_is_read_and_written():
    x, y = T.dmatrix("x"), T.dvector("y")
    f = fuse.function([x, y], x + y, profile=True)
    f(np.ones((4, 5)), np.ones(5))
    f(np.broadcast_to(np.ones(5), (4, 5)), np.ones(5))
    assert steps(f)["kernel 0"]["bytes"] == 8 * (20 + 5 + 20) + 8 * (5 + 5 + 20)


def test_programs_for_other_sizes_and_for_given_arrays_are_watched_too():
    x, y = T.dvectors("x", "y")
    f = fuse.function([x, y], T.exp(x) * y, profile=True)
    f(np.ones(3), np.ones(3))
    np.testing.assert_allclose(f(np.ones(3), np.ones(1)), np.full(3, np.e), rtol=1e-15)
    out = np.empty(3)
    f(np.ones(3), np.ones(3), out=out)
    assert [r["calls"] for r in f.profile.records()] == [1, 1, 1, 3], f.profile.records()
    seen = {r["step"].split(":")[0] for r in f.profile.records()}
    assert {"kernel 0 (other sizes)", "kernel 0 (into given arrays)"} < seen


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "DebugMode"])
def test_the_interpreter_has_profiles(mode):
    x = T.dvector("x")
    f = fuse.function([x], T.exp(x).sum(), profile=True, mode=mode)
    f(np.ones(3))
    assert any(r["step"].startswith("exp") and r["calls"] == 1 for r in f.profile.records())


def test_errors_are_the_same_and_an_error_is_no_step():
    x = T.dmatrix("x")
    f = fuse.function([x], T.nlinalg.matrix_inverse(x), profile=True)
    with pytest.raises(np.linalg.LinAlgError):
        f(np.zeros((2, 2)))
    assert f.profile.records() == []


def test_one_profile_for_several_functions_a_title_and_the_flag():
    x = T.dscalar("x")
    both = ProfileStats(message="both")
    f, g = fuse.function([x], T.exp(x), profile=both), fuse.function([x], T.log(x), profile=both)
    f(1.0), g(1.0), g(1.0)
    assert both.fct_callcount == 3 and f.profile is g.profile is both
    assert 0 < both.vm_call_time <= both.fct_call_time and both.compile_time > 0
    assert fuse.function([x], x, profile="titled").profile.message == "titled"
    with fuse.config.change_flags(profile=True):
        assert fuse.function([x], x).profile is not None
    assert fuse.function([x], x).profile is None


def test_the_table_in_text_and_for_notebooks():
    x = T.dvector("<x>")
    f = fuse.function([x], [T.exp(x).sum(), T.sort(x), T.sort(-x)], profile=True, name="<script>alert(1)</script>")
    f(np.ones(3))
    file = io.StringIO()
    f.profile.summary(file, n_ops_to_print=1)
    text = file.getvalue()
    assert "Profile of '<script>" in text and "GB/s" in text and " further step" in text
    html = f.profile._repr_html_()
    assert "<script>" not in html and html.count("<tr>") == len(f.profile.records()) + 1
    assert f.profile.as_dict()["calls"] == 1 and len(f.profile.as_dict()["steps"]) == len(f.profile.records())


def test_profiles_that_nobody_saw_are_printed_at_exit():
    code = (
        "import fuse, fuse.tensor as T; x = T.dscalar('x')\n"
        "f = fuse.function([x], T.exp(x), name='asked'); g = fuse.function([x], x * 2, name='seen')\n"
        "f(1.0), g(1.0); g.profile.summary(); print('--')\n"
    )
    env = {**os.environ, "FUSE_FLAGS": "profile=True"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0 and done.stdout == "--\n"
    assert done.stderr.count("Profile of 'seen'") == done.stderr.count("Profile of 'asked'") == 1


def test_notebooks_show_functions_with_their_source():
    x = T.dvector("<b>x</b>")
    f = fuse.function([x], T.exp(x), name="<script>")
    html = f._repr_html_()
    assert "<script>" not in html and "<b>" not in html and "&lt;fuse.Function" in html and "def kernel(" in html
    assert T.exp(T.dvector("x"))._repr_latex_().startswith("$")


def test_flags_of_profiles_and_of_the_nan_guard_count():
    import warnings

    x = T.dvector("x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuse.config.profiling.n_ops = 7
        fuse.config.NanGuardMode.inf_is_error = False
    try:
        f = fuse.function([x], T.log(x), mode=fuse.compile.NanGuardMode())
        assert np.isneginf(f([0.0])).all()
    finally:
        fuse.config.profiling.n_ops = 20
        fuse.config.NanGuardMode.inf_is_error = True
