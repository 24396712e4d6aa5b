"""The benchmarks hold together: records are well formed, NumPy agrees with itself, and one quick run goes through."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import sys

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.peers import PEERS
from benchmarks.processes import PeerProcess
from benchmarks.records import disagreement
from benchmarks.vocabulary import numpy_vocabulary
from benchmarks.workloads import FIRST_ANSWERS, WORKLOADS

SMALL = [
    (workload, size)
    for workload in WORKLOADS.values()
    for size, arguments in workload.sizes.items()
    if np.prod([value for value in arguments.values() if isinstance(value, int)]) <= 400 * 784
]


@pytest.mark.parametrize("module", "records vocabulary worker processes machine report cli".split())
def test_examples_run(module):
    found = doctest.testmod(importlib.import_module(f"benchmarks.{module}"))
    assert found.attempted and not found.failed


def test_names_and_sizes():
    assert len(WORKLOADS) == len({w.name for w in WORKLOADS.values()})
    for workload in WORKLOADS.values():
        assert set(workload.quick) <= set(workload.sizes)
        assert set(workload.by_hand) <= set(PEERS)
        assert not workload.rate or workload.wrt
    assert all(size in WORKLOADS[workload].sizes for workload, size in FIRST_ANSWERS.values())


@pytest.mark.parametrize("peer", PEERS)
def test_peers_offer_their_three_functions(peer, tmp_path):
    module = PEERS[peer].module()
    assert list(inspect.signature(module.build).parameters)[:2] == ["workload", "inputs"]
    assert callable(module.load)
    environment = module.environment(tmp_path)
    assert all(isinstance(value, str) for value in environment.values())


@pytest.mark.parametrize("workload, size", SMALL, ids=[f"{w.name} {s}" for w, s in SMALL])
def test_references_agree_with_the_formula_in_numpy(workload, size):
    inputs = workload.inputs(size)
    again = workload.inputs(size)
    assert all(np.array_equal(inputs[name], again[name]) for name in inputs)
    found = workload.formula(numpy_vocabulary(), *inputs.values())
    found = [np.asarray(value) for value in (found if isinstance(found, tuple) else (found,))]
    assert disagreement(found, workload.expected(inputs)[: len(found)]) is None


@pytest.mark.parametrize("workload", [w for w in WORKLOADS.values() if w.wrt], ids=lambda w: w.name)
def test_gradients_of_references_are_slopes(workload):
    inputs = dict(workload.inputs(next(size for w, size in SMALL if w is workload or w.formula is workload.formula)))
    rng = np.random.default_rng(1)
    _, *gradients = workload.calculate(inputs)
    step = 1e-5
    for name, gradient in zip(workload.wrt, gradients, strict=True):
        direction = rng.standard_normal(np.shape(inputs[name]))
        ahead, behind = (workload.calculate(inputs | {name: inputs[name] + s * direction})[0] for s in (step, -step))
        assert (ahead - behind) / (2 * step) == pytest.approx(np.sum(gradient * direction), rel=1e-5, abs=1e-8)


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
    arguments = ["--quick", "--peers", "fuse,numpy", "--only", "call/x+y float", "--output", str(tmp_path)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "report.txt").read_text(encoding="utf-8").splitlines()[0] in printed
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [(cell["peer"], cell["fault"]) for cell in results["steady_states"]] == [("fuse", ""), ("numpy", "")]
    assert all(0 < cell["seconds"] < 1e-3 for cell in results["steady_states"])
