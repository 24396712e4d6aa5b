"""Every notebook runs from its first cell to its last, and is committed as executed.

``python tests/test_notebooks.py`` executes them all and writes their output.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook in ``path`` after a run in a fresh kernel; raises at the first cell that does."""
    notebook = nbformat.read(path, as_version=4)
    beside = {"metadata": {"path": path.parent}}
    return NotebookClient(notebook, timeout=120, kernel_name="python3", resources=beside).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path):
    nbformat.validate(executed(path))


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
