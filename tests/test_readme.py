"""The README's Python runs, and prints what the README says it prints.

``python tests/test_readme.py`` writes what it prints today into the README.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
EXAMPLE = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:```\n(?P<shown>.*?)^```$)?", re.DOTALL | re.MULTILINE)


def examples() -> Iterator[tuple[re.Match[str], str]]:
    """Each ``python`` block of the README, with what it prints when all before it have run."""
    names: dict[str, object] = {"__name__": "readme"}
    for number, match in enumerate(EXAMPLE.finditer(README.read_text(encoding="utf-8")), 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(match["code"], f"<README example {number}>", "exec"), names)
        yield match, "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())


def without_machine(text: str) -> str:
    """``text`` without measured times and without paths, which differ from run to run."""
    text = re.sub(r"\d+(\.\d+)? (ns|µs|ms|s)\b", "<time>", text)
    return re.sub(r"(/[\w.-]+){2,}", "<path>", text)


def printed_in_a_fresh_process(cache: Path) -> list[str]:
    """What the examples print where nothing ran before: functions of one structure share what their kernels met."""
    code = "import json, sys, test_readme; print(json.dumps([printed for _, printed in test_readme.examples()]))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, encoding="utf-8",
        check=False,
        env=os.environ | {"PYTHONPATH": str(README.parent), "PYTHONIOENCODING": "utf-8", "FUSE_CACHE_DIR": str(cache)},
    )
    assert found.returncode == 0, found.stderr
    return list(json.loads(found.stdout.splitlines()[-1]))


def test_examples_print_what_the_readme_shows(tmp_path):
    matches = EXAMPLE.finditer(README.read_text(encoding="utf-8"))
    for match, printed in zip(matches, printed_in_a_fresh_process(tmp_path), strict=True):
        assert without_machine(printed) == without_machine(match["shown"] or ""), match["code"]


def test_the_tour_is_there():
    text = README.read_text(encoding="utf-8")
    assert text.startswith("# fuse\n") and len(EXAMPLE.findall(text)) >= 6


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for match, printed in reversed(list(examples())):
        if match["shown"] is not None:
            text = text[: match.start("shown")] + printed + text[match.end("shown") :]
    README.write_text(text, encoding="utf-8")
