"""A cache that several processes use, that cannot be written to, is damaged or another machine's: right answers."""
from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json, os, sys
import numpy as np
{before}
import fuse, fuse.tensor as T
from fuse.codegen import load
x, w = T.dmatrix("x"), fuse.shared(np.linspace(-1.0, 1.0, 40), name="w")
p = T.nnet.softmax(x * w)
cost = -T.log(p).mean() + (w**2).sum()
f = fuse.function([x], [cost, x[0] + 1], updates=[(w, w - 0.1 * T.grad(cost, w))])
a = np.random.default_rng(1).normal(size=(30, 40))
results = [*f(a), *f(a), *f(a[:1]), f(a)[0], w.get_value()]
print(json.dumps([[np.asarray(r).tobytes().hex() for r in results], load.stats(), load.cache_info()]))
"""
NO_FILES = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" \
           "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
OTHER_PROCESSOR = "import llvmlite.binding as llvm\nllvm.get_host_cpu_name = lambda: 'another'"


def start(directory, before=""):
    environment = {**os.environ, "FUSE_CACHE_DIR": str(directory)}
    command = [sys.executable, "-c", SCRIPT.format(before=before)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answer(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A filled cache, and the right answers."""
    directory = tmp_path_factory.mktemp("filled") / "cache"
    right, stats, _ = answer(start(directory))
    assert stats["compiles"] > 0
    return directory, right


def copied(filled, tmp_path):
    directory = tmp_path / "cache"
    directory.mkdir(mode=0o700)
    for file in filled[0].iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def test_processes_that_start_together_share_what_they_compile(filled, tmp_path):
    running = [start(tmp_path / "cache") for _ in range(3)]
    assert [answer(process)[0] for process in running] == [filled[1]] * 3
    right, stats, _ = answer(start(tmp_path / "cache"))
    assert right == filled[1] and stats["compiles"] == 0 and stats["planned"] == 0
    assert not [file for file in (tmp_path / "cache").iterdir() if file.suffix == ".tmp"]


@pytest.mark.parametrize("turn", [0, 3])
def test_damaged_files_are_made_again(turn, filled, tmp_path):
    directory = copied(filled, tmp_path)
    files = sorted(directory.glob("*.bin"))
    contents = [file.read_bytes() for file in files]
    draw = np.random.default_rng(5)
    for k, (file, data) in enumerate(zip(files, contents, strict=True)):
        flipped = bytearray(data)
        flipped[draw.integers(len(data))] ^= 1 << draw.integers(8)
        damages = data[: len(data) // 2], bytes(flipped), contents[k - 1], b"", None, draw.bytes(5000)
        new = damages[(k + turn) % len(damages)]
        file.unlink() if new is None else file.write_bytes(new)
    assert answer(start(directory))[0] == filled[1]
    right, stats, _ = answer(start(directory))          # and what was damaged is there again
    assert right == filled[1] and stats["compiles"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX")
@pytest.mark.parametrize("has_files", [False, True])
def test_where_nothing_can_be_written_memory_serves(has_files, filled, tmp_path):
    directory = copied(filled, tmp_path) if has_files else tmp_path / "cache"
    right, stats, _ = answer(start(directory, NO_FILES))
    assert right == filled[1]
    assert (stats["compiles"] == 0) == has_files
    assert not [file for file in directory.iterdir() if file.suffix == ".tmp"]


def test_kernels_for_another_processor_are_not_used(filled, tmp_path):
    directory = copied(filled, tmp_path)
    right, stats, _ = answer(start(directory, OTHER_PROCESSOR))
    assert right == filled[1] and stats["disk_hits"] == stats["plan_hits"] == 0 and stats["compiles"] > 0
    assert answer(start(directory))[1]["compiles"] == 0
