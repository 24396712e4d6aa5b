"""The Python of the pages in docs/ runs. Pages that print results have them checked as doctests."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path

import numpy as np
import pytest

import fuse
import fuse.tensor as T

PAGES = sorted((Path(__file__).resolve().parents[1] / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
NEEDS_A_GPU = {"gpu.md"}  # its code runs in tests/gpu and tests/ptx.py


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [match["code"] for match in found if match["language"] == language]


def names_of_looking_inside() -> dict[str, object]:
    """What the page takes for granted: a model that is trained."""
    x, y = T.dmatrix("x"), T.dvector("y")
    w = fuse.shared(np.zeros(2), name="w")
    cost = ((T.dot(x, w) - y) ** 2).mean()
    images, labels = np.ones((3, 2)), np.ones(3)
    updates = [(w, w - 0.1 * T.grad(cost, w))]
    return {"fuse": fuse, "x": x, "y": y, "cost": cost, "updates": updates, "images": images, "labels": labels}


GIVEN = {"looking_inside.md": names_of_looking_inside}


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.stem)
def test_examples_run(page):
    if page.name in NEEDS_A_GPU:
        pytest.skip("needs a GPU, or its compilers")
    names = {"__name__": page.stem, **GIVEN.get(page.name, dict)()}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for number, code in enumerate(blocks(page, "python"), 1):
            exec(compile(code, f"<{page.name} example {number}>", "exec"), names)


def test_every_block_says_what_it_is():
    known = {"python", "pycon", "sh", ""}
    assert {match["language"] for p in PAGES for match in BLOCK.finditer(p.read_text(encoding="utf-8"))} <= known
    assert doctest.DocTestParser().get_examples("\n".join(blocks(PAGES[0].parent / "models.md", "pycon")))
