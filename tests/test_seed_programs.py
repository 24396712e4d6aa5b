"""Programs written for Theano, with only the imports changed: each prints what Theano 1.0.5 printed."""
from __future__ import annotations

import contextlib
import io
import runpy
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "seed_programs").glob("*.py"))


def test_all_programs_are_here():
    assert len(PROGRAMS) == 44
    assert all(p.with_suffix(".expected").exists() for p in PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_program_prints_what_theano_printed(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some programs write a picture beside them
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(program), run_name="__main__")
    want = program.with_suffix(".expected").read_text()
    assert printed.getvalue().splitlines() == want.splitlines()
