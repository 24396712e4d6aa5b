"""The benchmarks for GPUs: every kind of case runs and is right in the simulator; without a GPU they say so."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.gpu import cli
from benchmarks.gpu.cases import CASES
from benchmarks.gpu.cli import main
from benchmarks.records import disagreement
from fuse.codegen import device

ROOT = Path(__file__).parents[1]
device.simulate()


@pytest.mark.parametrize("kind", ["tanh f4", "whole/dot f8", "softmax 128 f4", "greeks f8", "density f4", "logistic"])
def test_cases_are_right_in_the_simulator(kind, tmp_path, capsys):
    assert any(kind in case.name for case in CASES)
    assert main(["--check", "--peers", "fuse", "--only", kind, "--output", str(tmp_path / "found.json")]) == 0
    (record,) = json.loads((tmp_path / "found.json").read_text())["records"]
    assert record["seconds"]["fuse"] > 0 and not record["failures"]
    assert "times mean nothing" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["elementwise/2 x + y f4", "rows/layer norm 128 f8"])
def test_the_ends_of_large_results_are_compared(kind, monkeypatch):
    monkeypatch.setattr(cli, "SAMPLE", 256)
    (case,) = [case for case in CASES if case.name == kind]
    inputs = case.inputs(1 << 15)
    wanted, ends = cli.compared(case, inputs)
    (whole,) = case.workload.expected(inputs)
    assert wanted[0].size == 256 < whole.size
    assert disagreement([ends(whole)], wanted) is None
    whole[-1] += 1
    assert disagreement([ends(whole)], wanted)


def test_cases_are_left_out_when_time_is_over(capsys):
    assert main(["--check", "--peers", "fuse", "--only", "small", "--limit", "-1", "--skip", "1"]) == 0
    assert "--skip 1 begins with small/tanh sum" in capsys.readouterr().out


def test_the_first_run_is_commands_that_there_are(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("first_run", ROOT / "tests" / "gpu" / "__main__.py")
    first = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(first)
    ran = []
    monkeypatch.setattr(first.subprocess, "run", lambda command, cwd: ran.append(command) or SimpleNamespace(
        returncode=int("--check" in command)))
    assert first.main([]) == 1  # one part has failed, and the others ran
    assert "ok      tests" in (said := capsys.readouterr().out) and "FAILED  the benchmark's results" in said
    commands = first.parts("first.json", 60, simulated=False)
    assert list(commands.values())[:2] == ran
    assert (ROOT / commands["tests"][3]).is_dir()
    for name in ("the benchmark's results", "the benchmark"):
        options = cli._parser().parse_args(commands[name][3:])
        assert options.check is (options.output is None)
    monkeypatch.setattr(first.shutil, "which", lambda name: f"/bin/{name}")
    checked = first.parts("first.json", 60, simulated=False)
    assert checked["racecheck"][:3] == ["/bin/compute-sanitizer", "--tool", "racecheck"]
    assert all((ROOT / path).exists() for tests in first.CHECKED.values() for path in tests if path.endswith(".py"))
    monkeypatch.setattr(first, "TESTED", ("pytest", "nothing_like_it"))
    assert first.main([]) == 2 and "tests.gpu: nothing_like_it not installed: pip install" in capsys.readouterr().err


def test_the_simulator_has_no_speed():
    assert main([]) == 2


def test_without_a_gpu_the_command_says_what_is_missing():
    clean = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"} | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean, cwd=ROOT, timeout=120)
    assert done.returncode == 2 and "nothing to measure: " in done.stderr and "Traceback" not in done.stderr
