"""The README's Python runs, and prints what the README says it prints."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> list[tuple[str, str]]:
    """Each fenced block as (language, text); a block without a language after a ``python`` one is its output."""
    return FENCE.findall(README.read_text(encoding="utf-8"))


def without_times(text: str) -> str:
    """``text`` with measured times and the paths of a machine replaced by dots."""
    text = re.sub(r"\d+(\.\d+)? (ns|µs|ms|s)\b", "... s", text)
    return re.sub(r"(/[\w.-]+){2,}", "...", text)


def test_python_prints_what_the_readme_shows():
    names: dict[str, object] = {"__name__": "readme"}
    shown = blocks()
    for number, (language, code) in enumerate(shown):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"<README block {number}>", "exec"), names)
        follows = shown[number + 1] if number + 1 < len(shown) else ("", "")
        expected = follows[1] if follows[0] == "" else ""
        same = doctest.OutputChecker().check_output(
            without_times(expected), without_times(printed.getvalue()), doctest.ELLIPSIS
        )
        if not same:
            pytest.fail(f"README block {number}:\n{code}\nprints\n{printed.getvalue()}\nand not\n{expected}")


def test_the_tour_is_there():
    assert sum(language == "python" for language, _ in blocks()) >= 4
    assert README.read_text(encoding="utf-8").startswith("# fuse\n")
