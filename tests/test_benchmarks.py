"""The benchmarks hold together: records are well formed, NumPy agrees with itself, and one quick run goes through."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.by_hand import KERNELS, mathematics
from benchmarks.cli import main, text
from benchmarks.goals import GOALS, Figures, misses, verdicts
from benchmarks.page import GROUPS, page, pictures
from benchmarks.peers import PEERS, with_numba
from benchmarks.processes import PeerProcess
from benchmarks.records import disagreement
from benchmarks.results import figures, joined
from benchmarks.vocabulary import numpy_vocabulary
from benchmarks.workloads import FIRST_ANSWERS, MEMORY, WORKLOADS


def _smallest(workload):
    """The size with the fewest bytes, by the numbers and shapes that make it."""

    def elements(size):
        numbers = [
            n for value in workload.sizes[size].values() for n in (value if isinstance(value, tuple) else [value])
        ]
        return np.prod([n for n in numbers if isinstance(n, int)], dtype=float)

    return min(workload.sizes, key=elements)


SMALL = [(w, _smallest(w)) for w in WORKLOADS.values() if not w.name.startswith("stream")]
NAMES = [f"{w.name} {s}" for w, s in SMALL]


@pytest.mark.parametrize(
    "module", "records vocabulary worker processes machine report cli plots workloads.elementwise".split()
)
def test_examples_run(module):
    found = doctest.testmod(importlib.import_module(f"benchmarks.{module}"))
    assert found.attempted and not found.failed


def test_names_and_sizes():
    for workload in WORKLOADS.values():
        assert set(workload.quick) <= set(workload.sizes)
        assert set(workload.peers) <= set(PEERS)
        assert not workload.rate or workload.wrt
        assert workload.name.partition("/")[0] in dict(GROUPS)
    assert set(KERNELS) <= set(WORKLOADS)
    assert all(size in WORKLOADS[workload].sizes for workload, size in FIRST_ANSWERS.values())
    assert all({small, large} <= set(WORKLOADS[workload].sizes) for workload, small, large in MEMORY)
    assert not set(WORKLOADS) - {w for w, _ in figures_of_everything().calls}


def figures_of_everything(slow=1.0):
    """Figures as if every cell had been measured, fuse ``slow`` times as slow as the rest."""
    times = dict.fromkeys(PEERS, 1e-7) | {"fuse": slow * 1e-7}
    calls = {(w.name, size): times for w in WORKLOADS.values() for size in w.sizes}
    first = {(program, cache): times for program in FIRST_ANSWERS for cache in ("cold", "warm")}
    return Figures(calls, dict.fromkeys(calls, 1 << 30), first, dict.fromkeys(FIRST_ANSWERS, times))


def test_every_goal_has_its_cells():
    assert {goal.title for goal in GOALS} <= {verdict.goal for verdict in verdicts(figures_of_everything())}


def test_goals_are_missed_by_the_slow_alone():
    worst = misses(figures_of_everything(slow=100.0))
    assert len(worst) > 100 and worst[0].missed >= worst[-1].missed > 1
    reached = {verdict.goal for verdict in misses(figures_of_everything(slow=0.001))}
    assert reached <= {"10× the operations"}


@pytest.mark.parametrize("peer", PEERS)
def test_peers_offer_their_three_functions(peer, tmp_path):
    module = PEERS[peer].module()
    assert list(inspect.signature(module.build).parameters)[:2] == ["workload", "inputs"]
    assert callable(module.load)
    environment = module.environment(tmp_path)
    assert all(isinstance(value, str) for value in environment.values())


@pytest.mark.parametrize("workload, size", SMALL, ids=NAMES)
def test_references_agree_with_the_formula_in_numpy(workload, size):
    inputs = workload.inputs(size)
    again = workload.inputs(size)
    assert all(np.array_equal(inputs[name], again[name]) for name in inputs)
    found = workload.expression(numpy_vocabulary(), *inputs.values())
    found = [np.asarray(value) for value in (found if isinstance(found, tuple) else (found,))]
    assert disagreement(found, workload.expected(inputs)[: len(found)]) is None


@pytest.mark.parametrize("workload, size", [(w, s) for w, s in SMALL if w.wrt], ids=[w.name for w, _ in SMALL if w.wrt])
def test_gradients_of_references_are_slopes(workload, size):
    inputs = dict(workload.inputs(size))
    rng = np.random.default_rng(1)
    _, *gradients = workload.calculate(inputs)
    step = 1e-5
    for name, gradient in zip(workload.wrt, gradients, strict=True):
        direction = rng.standard_normal(np.shape(inputs[name])) * np.abs(inputs[name]).mean().clip(0.1)
        ahead, behind = (workload.calculate(inputs | {name: inputs[name] + s * direction})[0] for s in (step, -step))
        assert (ahead - behind) / (2 * step) == pytest.approx(np.sum(gradient * direction), rel=1e-4, abs=1e-7)


BY_HAND = "call/4in3out black-scholes/greeks columns/softmax middle/sum rows/layer_norm".split()


@pytest.mark.parametrize("workload, size", [(w, s) for w, s in SMALL if w.name in BY_HAND])
def test_kernels_by_hand_agree(workload, size):
    inputs = workload.inputs(size)
    if workload.name in KERNELS:
        program = with_numba.build(workload, inputs)
        found = program.results(program.function(*program.arguments))
        assert disagreement(found, workload.expected(inputs)) is None


@pytest.mark.parametrize("dtype, ulps", [("float64", 4), ("float32", 4)])
@pytest.mark.parametrize("name, low, high", [("exp", -80, 80), ("log", 1e-6, 1e6), ("sin", -10, 10), ("tanh", -6, 6)])
def test_functions_by_hand_are_accurate(name, low, high, dtype, ulps):
    import numba

    function = getattr(mathematics, name)
    x = np.random.default_rng(0).uniform(low, high, 2000).astype(dtype)
    found = numba.njit(lambda x: np.array([function(value) for value in x]))(x)
    expected = getattr(np, name)(x.astype(np.longdouble))
    assert found.dtype == dtype
    assert np.max(np.abs(found - expected) / np.spacing(np.abs(expected.astype(dtype)))) <= ulps


def test_a_wrong_number_is_noticed():
    right = [np.array([1.0, 2.0])]
    assert disagreement([np.array([1.0, 2.0 + 1e-12])], right) is None
    assert "off by" in disagreement([np.array([1.0, 2.001])], right)
    assert "off by" in disagreement([np.array([1.0, np.nan])], right)
    assert "float32" in disagreement([np.array([1.0, 2.0], "float32")], right)


def test_a_peer_that_is_not_there_says_why(tmp_path):
    with PeerProcess("numpy", str(tmp_path / "python")) as process:
        assert "No such file" in process.ask("describe")["error"]
    with PeerProcess("numpy", sys.executable) as process:
        assert process.ask("describe")["version"] == np.__version__
        assert "KeyError" in process.ask("load", workload="nothing", size="1")["error"]


def test_quick_run_of_fuse_beside_numpy(tmp_path, capsys):
    arguments = ["--quick", "--peers", "fuse,numpy", "--only", "call/x+y n3", "--output", str(tmp_path)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "report.txt").read_text(encoding="utf-8").splitlines()[0] in printed
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [(cell["peer"], cell["fault"]) for cell in results["steady_states"]] == [("fuse", ""), ("numpy", "")]
    assert all(0 < cell["seconds"] < 1e-3 for cell in results["steady_states"])

    assert joined([results, results])["steady_states"] == results["steady_states"]
    assert figures(results).calls == {
        ("call/x+y", "n3"): {c["peer"]: c["seconds"] for c in results["steady_states"]}
    }
    assert "call/x+y  n3" in text(results)
    written = page(results)
    assert "| x+y  n3 |" in written and results["machine"]["processor"] in written
    drawn = pictures(figures(results))
    assert list(drawn) == ["call.svg"] and ElementTree.fromstring(drawn["call.svg"]).tag.endswith("svg")
