"""What people read: formulas, trees, listings, LaTeX and pictures, small and huge."""
from __future__ import annotations

import io
import re
import subprocess
import sys

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse import printing
from fuse.errors import FuseTypeError, FuseValueError
from fuse.printing import debugprint, dot_text, latex, listing, mermaid, pp

x, y = T.dscalars("x", "y")
v, w = T.dvectors("v", "w")
m = T.dmatrix("m")


# ---------------------------------------------------------------- pp: the forms that Theano 1.0.5 prints
@pytest.mark.parametrize(("expr", "text"), [
    (x + y, "(x + y)"),
    (x ** 2, "(x ** TensorConstant{2})"),
    (x - y * 2.5, "(x - (y * TensorConstant{2.5}))"),
    (-x, "(-x)"),
    (x / y, "(x / y)"),
    (T.exp(x) + T.maximum(x, y), "(exp(x) + maximum(x, y))"),
    (T.switch(x < y, x, y), "switch((x < y), x, y)"),
    (m.T, "m.T"),
    (v.dimshuffle("x", 0), "DimShuffle{x,0}(v)"),
    (T.cast(x, "float32"), "Cast{float32}(x)"),
    (m[1:, 0], "m[1:, 0]"),
    (m[::-1], "m[::-1]"),
    (v.shape[0], "v.shape[0]"),
    (T.dscalar() + 1, "(<TensorType(float64, scalar)> + TensorConstant{1})"),
    (v * np.array([1.0, 2.0]), "(v * TensorConstant{[1. 2.]})"),
    (v * np.zeros(3), "(v * TensorConstant{(3,) of 0.0})"),
    (v * np.arange(100.0), "(v * TensorConstant{[ 0. 1. ... 98. 99.]})"),
    (T.sum(m, axis=0), "sum(m, axis=(0,))"),
    (T.dot(m, v), "dot(m, v)"),
])
def test_pp(expr, text):
    assert pp(expr) == text


def test_pp_of_several_and_of_functions():
    assert pp([x, x + 1]) == "[x, (x + TensorConstant{1})]"
    assert pp(fuse.function([x], [x, -x])).startswith("[")


# ---------------------------------------------------------------- str
@pytest.mark.parametrize(("expr", "text"), [
    (x, "x"),
    (x + y * 2, "x + y * 2"),
    ((x + y) * 2, "(x + y) * 2"),
    (x - (y - 1), "x - (y - 1)"),
    (x - y - 1, "x - y - 1"),
    (x / (y * 2), "x / (y * 2)"),
    ((x ** y) ** 2, "(x ** y) ** 2"),
    (x ** y ** 2, "x ** y ** 2"),
    (-x ** 2, "-x ** 2"),
    ((-x) ** 2, "(-x) ** 2"),
    (x ** -y, "x ** (-y)"),
    (x * T.constant(-2), "x * -2"),
    (T.exp(v).sum(), "sum(exp(v))"),
    ((v + w)[1:], "(v + w)[1:]"),
    ((m + 1).T, "(m + 1).T"),
])
def test_short_text_has_the_parentheses_it_needs(expr, text):
    assert str(expr) == text == repr(expr)
    names = {"x": 1.7, "y": 0.6, "v": np.array([1.0, 2.0]), "w": np.array([3.0, 5.0]), "m": np.eye(2), "exp": np.exp,
             "sum": np.sum}
    from fuse.reference import evaluate

    wanted = evaluate([expr], {k: np.asarray(names[k.name]) for k in expr.free_symbols})[0]
    np.testing.assert_allclose(eval(text.replace("axis=(0,)", "axis=0"), {}, names), wanted)


def test_a_named_expression_shows_its_name():
    cost = T.sin(x) * 3
    cost.name = "cost"
    assert str(cost) == "cost"
    assert pp(cost) == "(sin(x) * TensorConstant{3})"


def test_print_of_expressions_in_format_strings():
    assert f"{x + 1}" == "x + 1"


# ---------------------------------------------------------------- debugprint and listing
def test_debugprint():
    e = (x + 1) * (x + 1) - T.exp(y)
    assert debugprint(e, file="str") == (
        "sub [id A]\n"
        " |mul [id B]\n"
        " | |add [id C]\n"
        " | | |x [id D]\n"
        " | | |TensorConstant{1} [id E]\n"
        " | |add [id C]\n"
        " |exp [id F]\n"
        "   |y [id G]"
    )


def test_debugprint_options(capsys):
    e = T.exp(x + 1)
    (x + 1).name = "next"
    assert debugprint(e, file="str", print_type=True).splitlines()[0] == "exp <TensorType(float64, scalar)> [id A]"
    assert debugprint(e, file="str", depth=1) == "exp [id A]"
    assert debugprint(e, file="str", stop_on_name=True) == "exp [id A]\n |add [id B] 'next'"
    assert debugprint(e, file="str", ids="int").splitlines()[1] == " |add [id 1] 'next'"
    assert debugprint(e, file="str", ids="").splitlines()[0] == "exp"
    stream = io.StringIO()
    debugprint([e, x], file=stream)
    assert stream.getvalue().count("\n") == 5
    debugprint(fuse.function([x], x * 2))
    assert "x [id " in capsys.readouterr().out
    with pytest.raises(FuseTypeError, match="only expressions, lists of them and compiled functions print, not int"):
        debugprint(3)


def test_ids_count_on_after_z():
    text = debugprint(sum([x * float(i) for i in range(1, 40)], y), file="str")
    assert "[id Z]" in text and "[id BA]" in text and "[id BB]" in text


def test_listing_is_a_program():
    """Run the lines with NumPy: they compute the value."""
    e = T.exp(v) * w - v
    lines = listing(e).splitlines()
    scope = {
        "input_v": np.array([1.0, 2.0]),
        "input_w": np.array([3.0, 4.0]),
        "exp": np.exp,
        "mul": np.multiply,
        "sub": np.subtract,
    }
    for line in lines[:-1]:
        target, rest = line.split(": ", 1)
        exec(f"{target} = {rest.split(' = ', 1)[1].replace('input ', 'input_')}", scope)
    result = scope[lines[-1].split()[1]]
    np.testing.assert_allclose(result, np.exp([1, 2]) * np.array([3, 4]) - [1, 2])


# ---------------------------------------------------------------- LaTeX, by SymPy's parser-free eye: recorded forms
@pytest.mark.parametrize(("expr", "text"), [
    (x / (y + 1), r"\frac{x}{y + 1}"),
    ((x + y) * y, r"\left(x + y\right) \, y"),
    (x * T.sin(y), r"x \, \left(\sin y\right)"),
    (T.sin(x + y), r"\sin \left(x + y\right)"),
    (T.exp(x) ** 2, r"\left(e^{x}\right)^{2}"),
    ((x / y) ** 2, r"\left(\frac{x}{y}\right)^{2}"),
    (x ** (y + 1), r"x^{y + 1}"),
    (T.sqrt(x + 1), r"\sqrt{x + 1}"),
    (-(x + y), r"-\left(x + y\right)"),
    (x - (y - 1), r"x - \left(y - 1\right)"),
    (T.log(x), r"\log x"),
    (abs(x), r"\left|x\right|"),
    (T.dot(m, v), r"m \, v"),
    (m.T, r"m^{\mathsf{T}}"),
    (T.sum(v), r"\sum \left(v\right)"),
    (T.dscalar("theta_1") * 1e-5, r"\theta_{1} \cdot 10^{-5}"),
    (x * 2.5e30 ** 1 - 3e-8, r"x \cdot 2.5 \cdot 10^{30} - 3 \cdot 10^{-8}"),
    (x < y, r"x < y"),
    (T.inc_subtensor(v[0], x), r"\operatorname{inc}\left(v_{0}, x\right)"),
    (T.set_subtensor(m[1:, 0], v), r"\operatorname{set}\left(m_{1:, 0}, v\right)"),
    (T.set_subtensor(v[T.lvector("k")], x), r"\operatorname{set}\left(v_{k}, x\right)"),
    (T.argmax(m, axis=1), r"\operatorname{argmax}_{1}\left(m\right)"),
    (T.outer(v, v), r"v_{:, \ast} \, v"),
    (m - m.max(axis=1, keepdims=True), r"m - \left(\max_{1} \left(m\right)\right)_{:, \ast}"),
    (T.nlinalg.svd(m)[1], r"\operatorname{svd}\left(m\right)_{1}"),
    (T.arange(3), r"\operatorname{arange}\left(3\right)"),
    (T.dscalar("learning_rate"), r"\mathrm{learning}_{\mathrm{rate}}"),
    (T.dscalar("a&b%"), r"\mathrm{a\&b\%}"),
])
def test_latex(expr, text):
    assert latex(expr) == text
    assert expr._repr_latex_() == f"$\\displaystyle {text}$"


def test_latex_is_drawn_by_a_real_typesetter():
    """matplotlib's mathtext reads a subset of TeX: balanced braces and known commands are within it."""
    mathtext = pytest.importorskip("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    for expr in (x / (y + 1), T.exp(-x ** 2) * T.sin(y), T.sqrt(x) + T.log(y), T.dscalar("theta_1") ** 2):
        parser.parse(f"${latex(expr)}$")


def test_every_latex_template_fills_and_balances():
    from fuse.op import OPS

    for op in OPS.values():
        if op.kind == "elementwise" and op.nargs:
            params = (
                (op.meta.get("examples") or ({},))[0]
                if op.meta.get("params")
                else {"dtype": "float32"}
                if op.name == "cast"
                else {}
            )
            for args in ([x] * op.nargs, [x > 0] * op.nargs, [T.lscalar("n")] * op.nargs):
                try:
                    text = latex(op(*args, **params))
                except fuse.FuseError:
                    continue
                assert (
                    text.count("{") == text.count("}")
                    and "#" not in text
                    and text.count(r"\left") == text.count(r"\right")
                )


# ---------------------------------------------------------------- pictures
def test_mermaid_and_dot_name_every_node_and_edge():
    e = T.exp(x) * x
    assert mermaid(e).count("-->") == 3
    assert dot_text(e).count("->") == 3
    assert '"' not in mermaid(T.dscalar('a"b') + 1).replace('["', "").replace('"]', "").replace('(["', "").replace(
        '"])', ""
    )


def test_names_cannot_break_out_of_the_text():
    evil = T.dscalar('a"]; b -> c [label="')
    assert dot_text(evil + 1).count("->") == 3  # two edges, one inside the quoted label
    assert r"\"" in dot_text(evil + 1)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_pydotprint_writes_real_pictures(tmp_path, kind):
    pytest.importorskip("pygraphviz")
    path = tmp_path / f"graph.{kind}"
    f = fuse.function([x, y], x + T.exp(y))
    for drawn in (f, x + y, [x, x * y]):
        fuse.printing.pydotprint(drawn, outfile=str(path), var_with_name_simple=True)
        assert path.read_bytes().startswith({"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF"}[kind])


def test_pydotprint_formats(tmp_path, capsys):
    pytest.importorskip("pygraphviz")
    path = tmp_path / "graph"
    printing.pydotprint(x + y, outfile=path, format="svg", print_output_file=True, with_ids=True)
    assert b"<svg" in path.read_bytes() and "The output file is available at" in capsys.readouterr().out
    assert printing.pydotprint(x + y, return_image=True)._repr_png_().startswith(b"\x89PNG")
    assert "<svg" in printing.pydotprint(x + y, format="svg", return_image=True)._repr_svg_()
    printing.pydotprint(x + y, outfile=tmp_path / "g.dot")
    assert (tmp_path / "g.dot").read_text().startswith("digraph")
    with pytest.raises(FuseValueError, match="cannot draw this as 'nonsense'"):
        printing.pydotprint(x + y, outfile=path, format="nonsense")


def test_pydotprint_without_pygraphviz_leaves_mermaid_text(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(ImportError, match=r'pip install "fuse\[viz\]"'):
        printing.pydotprint(x + y, outfile=tmp_path / "g.png")
    assert (tmp_path / "g.mmd").read_text().startswith("graph TD")


# ---------------------------------------------------------------- Print
def test_print_at_run_time(capsys):
    shown = printing.Print("value", attrs=("__str__", "shape"))(v)
    f = fuse.function([v], shown * 2)
    for _ in range(2):
        np.testing.assert_array_equal(f([1.0, 2.0]), [2, 4])
    assert capsys.readouterr().out == "value __str__ = [1. 2.]\nvalue shape = (2,)\n" * 2
    seen = []
    g = fuse.function(
        [v], printing.Print("m", global_fn=lambda op, value: seen.append((op.message, value.sum())))(v) + 1
    )
    np.testing.assert_array_equal(g([1.0, 2.0]), [2, 3])
    assert seen == [("m", 3.0)]
    np.testing.assert_array_equal(fuse.grad((shown ** 2).sum(), v).eval({v: [1.0, 2.0]}), [2, 4])


# ---------------------------------------------------------------- size
@pytest.fixture(scope="module")
def chain():
    e = x
    for _ in range(100_000):
        e = T.sin(e)
    return e


def test_a_chain_of_100000_nodes_prints_shortened(chain):
    assert str(chain).count("sin(") == 40 and "..." in str(chain)
    assert len(pp(chain)) < 200_000 and pp(chain).endswith(")")
    assert len(debugprint(chain, file="str")) < 1_000_000
    text = listing(chain)
    assert len(text.splitlines()) == 402 and "more)" in text and "v100000: float64 () = sin(v99999)" in text
    assert len(latex(chain)) < 10_000 and r"\ldots" in latex(chain)
    assert len(mermaid(chain)) < 50_000 and "more nodes" in mermaid(chain)
    assert len(dot_text(chain)) < 100_000


def test_shared_subexpressions_do_not_explode():
    e = x
    for _ in range(100):
        e = e * e  # as a tree 2 ** 100 leaves
    assert len(str(e)) < 1_000 and len(pp(e)) < 500_000
    assert len(debugprint(e, file="str").splitlines()) == 201
    assert len(listing(e).splitlines()) == 102


def test_printing_loads_no_heavy_package():
    code = """
import sys, fuse, fuse.tensor as T
x = T.dscalar("x")
str(x + 1), x._repr_latex_(), fuse.pp(x)
print({"sympy", "numba", "pygraphviz"} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def _tanh_loop():
    s, a = T.dvector("s"), fuse.shared(0.5, "a")
    states, _ = fuse.scan(lambda u, h: T.tanh(a * h + u), sequences=s, outputs_info=T.constant(0.0))
    return s, a, states[-1]


def test_the_inside_of_loops_is_printed():
    _, _, last = _tanh_loop()
    text = fuse.debugprint(last, file="str")
    assert text.partition("Inner graphs:")[2].split() == (
        "loop [id C] >tanh [id 1.A] > |add [id 1.B] > |mul [id 1.C] > | |fixed0 [id 1.D] > | |state0 [id 1.E] "
        "> |element0 [id 1.F] >tanh [id 1.A]"
    ).split()
    steps = fuse.printing.listing(last).partition("inside v3:")[2]
    assert "tanh(" in steps and "next state0: v2" in steps and "result 0: v2" in steps


def test_a_function_shows_its_loops_forward_and_back():
    s, w, start = T.dmatrix("s"), fuse.shared(np.eye(3), "w"), T.dvector("start")
    states, _ = fuse.scan(lambda u, h: T.tanh(T.dot(h, w) + u), sequences=s, outputs_info=start)
    f = fuse.function([s, start], [states[-1], fuse.grad(states[-1].sum(), w)])
    text = f.explain()
    assert text.count("loop with") == 2 and "tanh(" in text and "next state0: " in text and "part" not in text
    assert len(re.findall(r"for step\d* in range\(", f.source)) == 2 and "tanh_float64(" in f.source


def test_graphs_inside_of_graphs_are_printed_once():
    x = T.dscalar("x")
    inner = fuse.OpFromGraph([x], [T.cosh(x)], grad_overrides=lambda inputs, gs: [gs[0]], name="inner")
    outer = fuse.OpFromGraph([x], [inner(x) + inner(x + 1)], grad_overrides=lambda inputs, gs: [gs[0]], name="outer")
    text = fuse.debugprint([outer(x), outer(x * 2)], file="str")
    assert text.count("cosh") == 1 and "graph=outer" in text and "graph=inner" in text.partition("Inner graphs:")[2]
