"""Every notebook runs from its first cell to its last, and shows what it prints today.

``python tests/test_notebooks.py`` executes them all and writes their output.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from test_readme import without_machine

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def executed(path: Path, **environment: str) -> nbformat.NotebookNode:
    """The notebook in ``path`` after a run in a fresh kernel; raises at the first cell that does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    notebook = nbformat.read(path, as_version=4)
    beside = {"metadata": {"path": path.parent}}
    return NotebookClient(notebook, timeout=120, kernel_name="python3", resources=beside).execute(env=environment)


def shown(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell of code prints and gives, without measured times."""
    outputs = [[o.get("text") or o.get("data", {}).get("text/plain", "") for o in c.outputs]
               for c in notebook.cells if c.cell_type == "code"]
    return [without_machine(re.sub(r" +", " ", "".join(texts))) for texts in outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_shows_what_it_prints(path, tmp_path):
    """Where nothing ran before: functions of one structure share what their kernels met."""
    found = executed(path, FUSE_CACHE_DIR=str(tmp_path))
    nbformat.validate(found)
    committed = nbformat.read(path, as_version=4)
    assert shown(found) == shown(committed), "write it anew: python tests/test_notebooks.py"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_committed_executed(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert not [o for c in cells for o in c.outputs if o.output_type == "error"]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 2


if __name__ == "__main__":
    for path in NOTEBOOKS:
        notebook = executed(path)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times of day
        nbformat.write(notebook, path)
