"""The project holds together: imports go one way and stay light, modules are short, data and command line work."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fuse"
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))

# A layer imports from itself and from those before it. Names are modules or packages below fuse/.
LAYERS = (
    ("argnames", "errors", "config", "devices", "data", "frozen", "missing", "internals", "trace", "forks"),
    ("typebase", "types", "tree", "walks", "notes", "traits", "collector"),
    ("expr", "flat"),
    ("op",),
    ("rewrite", "printing", "reference", "testvalues"),
    ("frontend", "rules"),
    ("autodiff",),
    ("looping",),
    ("codegen",),
    ("inout", "mode", "signature", "updates", "profiling", "maker", "evaluation", "compiled", "saving", "exporting"),
    ("symbolic", "transforms"),
    (
        "tensor", "compile", "gof", "graph", "compat", "gradient", "ifelse", "misc", "sandbox", "scalar",
        "configparser", "scan_module", "numpy", "lax", "random", "raise_op", "link", "scan", "inside", "breakpoint",
    ),
    ("optimize", "d3viz", "integrate", "tests", "typed_list"),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# Above all layers: the package, its commands, and names of Theano's tree that only point at ours.
OUTSIDE = {"fuse", "gpuarray", "__main__", "cli", "demo", "doctor", "theano_table", "sparse", "configdefaults", "utils"}

# Modules that wait to be divided. None may join them.
TOO_LONG: set[str] = set()

# Imports against the direction, inside functions, each with its reason.
EXCEPTIONS = {
    ("fuse.autodiff.check", "compiled"): "a gradient is checked by running it",
    ("fuse.autodiff.functions", "transforms"): "the derivative of a Python function is called with arrays",
}

# Where a package that takes long to import may be imported at all.
HOMES = {"numba": {"codegen"}, "llvmlite": {"codegen", "doctor"}, "sympy": {"symbolic"}}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Everything in ``node`` but expressions, and what is for type checkers."""
    for inner in ast.iter_child_nodes(node):
        checked = isinstance(inner, ast.If) and isinstance(inner.test, (ast.Name, ast.Attribute))
        if not isinstance(inner, ast.expr) and not (checked and "TYPE_CHECKING" in ast.unparse(inner.test)):
            yield inner
            yield from statements(inner)


@cache
def parsed(path: Path) -> tuple[list[tuple[str, int]], str | None, int]:
    """Each module that ``path`` imports, at any depth, with the line, its docstring, and where its first statement is.

    Imports for type checkers do not count.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(ROOT).parent.parts
    found = []
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            found += [(f"{source}.{alias.name}", node.lineno) for alias in node.names]
    return found, ast.get_docstring(tree), tree.body[0].lineno


def imports_of(path: Path) -> list[tuple[str, int]]:
    return parsed(path)[0]


def imports_of_fuse(path: Path) -> list[tuple[str, int]]:
    return [(name, line) for name, line in imports_of(path) if name.split(".")[0] == "fuse"]


def layer_of(module: str) -> str:
    """The module or package right below fuse/, or fuse itself."""
    return module.split(".")[1] if "." in module else module


def test_imports_go_one_way():
    wrong = []
    for path in MODULES:
        here = name_of(path)
        if layer_of(here) in OUTSIDE:
            continue
        for target, line in imports_of_fuse(path):
            there = layer_of(target)
            # a name that is no layer comes through the package itself, which stands above them all
            upward = RANK.get(there, len(LAYERS)) > RANK[layer_of(here)]
            if upward and (here, there) not in EXCEPTIONS:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    assert not wrong, "imports against types -> expr -> op -> ... -> tensor:\n" + "\n".join(wrong)


def test_every_exception_is_needed():
    made = {(name_of(p), layer_of(t)) for p in MODULES for t, _ in imports_of_fuse(p)}
    assert set(EXCEPTIONS) <= made


def test_private_names_stay_in_their_modules():
    theanos = {"fuse.tensor.basic._allclose"}  # Theano's own name of it
    names = {target for path in MODULES for target, _ in imports_of_fuse(path)}
    assert not {n for n in names if re.fullmatch(r"_(?!_).*", n.rpartition(".")[2])} - theanos


def test_slow_packages_are_imported_in_their_homes_only():
    found = [(layer_of(name_of(p)), target.split(".")[0]) for p in MODULES for target, _ in imports_of(p)]
    assert not [(here, package) for here, package in found if package in HOMES and here not in HOMES[package]]


def test_every_module_has_its_layer():
    assert {layer_of(name_of(p)) for p in MODULES} <= set(RANK) | OUTSIDE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_its_purpose_in_its_first_line(path):
    _, doc, line = parsed(path)
    assert doc and doc.splitlines()[0].rstrip().endswith((".", ":", "?"))
    assert line == 1


def test_modules_are_short():
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name for name, count in lines.items() if count > 450} == TOO_LONG, "two purposes: make it two modules"


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_leaves_the_heavy_packages_alone():
    code = "import sys, fuse, fuse.tensor; print(*sys.modules)"
    assert not {"numba", "llvmlite", "scipy", "sympy"} & set(run(sys.executable, "-c", code).split())


def test_rules_load_the_ops_that_they_write():
    code = ("import numpy as np, fuse, fuse.rules; x = fuse.TensorType(\"float64\", (None, None))(); e = np.exp(x); "
            "print(fuse.rules.optimize([e / np.sum(e, axis=1, keepdims=True)])[0].op.name)")
    assert run(sys.executable, "-c", code) == "softmax\n"


def test_star_import_exports_the_package_itself():
    code = "from fuse import *; print(fuse.__name__, tensor.__name__)"
    assert run(sys.executable, "-c", code) == "fuse fuse.tensor\n"


@pytest.mark.parametrize("command", [["-m", "fuse", "info"], ["-m", "fuse", "--help"], ["-m", "fuse", "--version"]])
def test_command_answers(command):
    assert "fuse" in run(sys.executable, *command)


def test_info_names_what_a_bug_report_needs():
    named = {line.split()[0] for line in run(sys.executable, "-m", "fuse", "info").splitlines()}
    assert named == {"fuse", "python", "numpy", "numba", "llvmlite", "scipy", "sympy", "cpu", "threads", "cache", "gpu"}


def test_doctor_finds_this_installation_healthy():
    lines = run(sys.executable, "-m", "fuse", "doctor").splitlines()
    assert not [line for line in lines if line.startswith("FAILED")]


def test_demo_trains_as_numpy_does(capsys):
    from fuse import demo

    assert demo.run(epochs=12) == 0
    printed = capsys.readouterr().out
    stages = [line for line in printed.splitlines() if line.startswith("--- ")]
    assert [s.split()[1] for s in stages] == ["cost", "gradient", "generated", "softmax", "one"]
    assert "def " in printed and printed.count("test accuracy 0.9") == 2


def test_digits_are_the_published_ones():
    from fuse.data import digits

    images, labels = digits()
    assert images.shape == (1797, 64) and images.dtype == np.float64 and labels.dtype == np.int32
    assert images.min() == 0 and images.max() == 1 and np.all(images * 16 == np.round(images * 16))
    # the class counts of the test set that its authors published
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_data_file_is_small_and_carries_its_licence():
    assert (PACKAGE / "data" / "digits.npz").stat().st_size < 60_000
    assert "CC BY 4.0" in (PACKAGE / "data" / "README.md").read_text(encoding="utf-8")


def test_continuous_integration_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in readme if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_page_of_theanos_names_is_current():
    from fuse.theano_table import names_page

    page = (ROOT / "docs" / "theano_names.md").read_text(encoding="utf-8")
    assert page == names_page(), "write it anew: python -m fuse names --page > docs/theano_names.md"


def test_an_absent_name_of_theano_says_why():
    import fuse.tensor

    with pytest.raises(AttributeError, match=r"has no attribute 'irecv': .*mpi4py"):
        _ = fuse.tensor.irecv


def test_names_of_jax_that_are_absent_say_what_serves():
    import fuse
    from fuse.missing import _OF_JAX

    for name, told in _OF_JAX.items():
        with pytest.raises(AttributeError, match=rf"no attribute '{name}': {re.escape(told)}"):
            getattr(fuse, name)
        for path in re.findall(r"fuse((?:\.\w+)+)", told):
            attrgetter(path[1:])(fuse)


def test_layers_are_listed_once():
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names)) and all(a != b for a, b in pairwise(LAYERS))


def test_demo_on_a_gpu_that_is_not_there_says_so(capsys, monkeypatch):
    from fuse import cli, devices

    monkeypatch.setattr(devices, "is_simulated", lambda: False)
    monkeypatch.setattr(devices, "gpu", lambda: (False, "no NVIDIA driver"))
    assert cli.main(["demo", "--device", "cuda"]) == 2
    assert "no GPU to run on" in capsys.readouterr().err


def test_a_device_other_than_the_cpu_is_not_taken_silently():
    import fuse

    with pytest.raises(ValueError, match="'cpu', 'cuda' or 'auto'"), fuse.config.change_flags(device="tpu"):
        pass
    assert fuse.config.device == "cpu"
