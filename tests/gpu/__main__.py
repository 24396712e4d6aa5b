"""The first run on a card, in one command: its tests, the benchmark's numbers, the benchmark, NVIDIA's checker.

    python -m tests.gpu [--output first.json] [--limit SECONDS]

Each part is a command of its own, which is printed, and goes on where one before it has failed. What is missing is said
before anything runs.
"""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 12  # processes that test: each has a context on the card
TESTED = "pytest", "xdist", "hypothesis", "mpmath"  # modules of the extra `test`
CHECKER = "compute-sanitizer"  # of the CUDA toolkit
CHECKED = {  # by it: it takes many times as long
    "memcheck": ["tests/gpu/test_device.py", "tests/gpu/test_interop.py"],
    "racecheck": ["tests/gpu/test_device.py", "-k", "formulas or reduction"],
}


def parts(output: str, limit: float, simulated: bool) -> dict[str, list[str]]:
    """The commands, by what they are for; in the simulator there is nothing to time."""
    processes = str(min(os.cpu_count() or 1, MOST))
    checker = shutil.which(CHECKER)
    found = {
        "tests": ["-m", "pytest", "tests/gpu", "-n", processes],
        "the benchmark's results": ["-m", "benchmarks.gpu", "--check"],
        "the benchmark": ["-m", "benchmarks.gpu", "--limit", f"{limit:g}", "--output", output],
    }
    if simulated:
        del found["the benchmark"]
    found = {name: [sys.executable, *command] for name, command in found.items()}
    if checker and not simulated:
        for tool, tests in CHECKED.items():  # it watches one process
            how = [checker, "--tool", tool, "--error-exitcode", "1"]
            found[tool] = [*how, sys.executable, "-m", "pytest", "-n0", *tests]
    return found


def main(argv: list[str] | None = None) -> int:
    """Return 0 where all parts are well, 1 where one is not, and 2 where none can run."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="first.json", help="the benchmark's records (default: first.json)")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for the benchmark (default: an hour)")
    options = parser.parse_args(argv)
    from fuse.codegen import device
    from fuse.devices import is_simulated
    from fuse.errors import DeviceError

    lacking = [module for module in TESTED if find_spec(module) is None]
    if lacking:
        print(f"tests.gpu: {', '.join(lacking)} not installed: pip install -e '.[cuda,test]'", file=sys.stderr)
        return 2
    try:
        print(f"on {device.current().name}", flush=True)
    except DeviceError as error:
        print(f"tests.gpu: {error}", file=sys.stderr)
        return 2
    said = []
    for name, command in parts(str(Path(options.output).resolve()), options.limit, is_simulated()).items():
        print(f"\n$ {' '.join(command)}", flush=True)
        start = time.monotonic()
        code = subprocess.run(command, cwd=ROOT).returncode
        said.append((code, f"{'FAILED' if code else 'ok':<7} {name} ({time.monotonic() - start:.0f} s)"))
    if shutil.which(CHECKER) is None:
        said.append((0, f"left out {CHECKER}, which is not on PATH"))
    print("\n" + "\n".join([text for _, text in said]))
    return int(any(code for code, _ in said))


if __name__ == "__main__":
    sys.exit(main())
