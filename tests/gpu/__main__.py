"""The first run on a card, in one command: its tests, then the benchmark's numbers, then the benchmark.

    python -m tests.gpu [--output first.json] [--limit SECONDS]

Each part is a command of its own, which is printed, and goes on where one before it has failed. What is missing is said
before anything runs.
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 12  # processes that test: each has a context on the card
TESTED = "pytest", "xdist", "hypothesis", "mpmath"  # modules of the extra `test`


def parts(output: str, limit: float, simulated: bool) -> dict[str, list[str]]:
    """The commands, by what they are for; in the simulator there is nothing to time."""
    processes = str(min(os.cpu_count() or 1, MOST))
    found = {
        "tests": ["-m", "pytest", "tests/gpu", "-n", processes],
        "the benchmark's results": ["-m", "benchmarks.gpu", "--check"],
        "the benchmark": ["-m", "benchmarks.gpu", "--limit", f"{limit:g}", "--output", output],
    }
    if simulated:
        del found["the benchmark"]
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
        print(f"\n$ python {' '.join(command)}", flush=True)
        start = time.monotonic()
        code = subprocess.run([sys.executable, *command], cwd=ROOT).returncode
        said.append((code, f"{'FAILED' if code else 'ok':<7} {name} ({time.monotonic() - start:.0f} s)"))
    print("\n" + "\n".join([text for _, text in said]))
    return int(any(code for code, _ in said))


if __name__ == "__main__":
    sys.exit(main())
