"""That a barrier is missing in a kernel for GPUs is seen, though the simulator runs one thread after the other."""
from __future__ import annotations

import numpy as np
import pytest
from races import watched

import fuse
import fuse.tensor as T
from fuse.codegen import cuda_combine, device, simulated

device.simulate()
TOGETHER = cuda_combine._TOGETHER.format(k=0, other="exchange(value, offset)").splitlines(keepends=True)
BARRIERS = [k for k, line in enumerate(TOGETHER) if "syncthreads" in line]
SUMS = """
def combine0(a, b):
    return a + b

{together}
def sums(a, lanes, apart):
    room = cuda.shared.array(512, float32)
    for _ in range(2):
        a[cuda.threadIdx.x] = together0(a[cuda.threadIdx.x], lanes, apart, room)
"""


@pytest.mark.parametrize("without", [None, *BARRIERS])
def test_sums_of_lanes_need_each_of_their_barriers(without):
    together = "".join([line for k, line in enumerate(TOGETHER) if k != without])
    with watched() as found:
        launch = simulated.kernel_of(
            SUMS.format(together=together), "sums", {}, ["float32", "int64", "int64"], [True, False, False])
        for lanes, apart in ((64, 1), (4, 16)):
            launch((1, 1), 64, [np.arange(64, dtype=np.float32), lanes, apart])
    assert bool(found) == (without is not None) and all(" reads in line " in why for why in found)


@pytest.mark.parametrize(("text", "why"), [
    ("a[cuda.threadIdx.x // 2] = float32(cuda.threadIdx.x)", "thread 0 and thread 1 write different values"),
    ("a[3] = float32(cuda.blockIdx.x)", "block (0, 0) and block (1, 0) write different values"),
    ("a[0] = float32(1.0) if cuda.blockIdx.x == 0 else a[0] + float32(1.0)", "block (1, 0) reads in line 2"),
    ("value = a[0]\n    a[0] = float32(7.0)", None),  # they all write the same, and nothing comes of what they read
    ("if cuda.threadIdx.x < 2:\n        cuda.syncthreads()\n    cuda.syncthreads()", "threads meet at"),
])  # fmt: skip
def test_what_threads_and_blocks_must_not_do(text, why):
    with watched() as found:
        launch = simulated.kernel_of(f"def bad(a):\n    {text}\n", "bad", {}, ["float32"], [True])
        launch((2, 1), 4, [np.zeros(4, np.float32)])
    assert why is None and not found or why is not None and any(why in said for said in found)


def test_rows_of_two_warps_have_no_races(monkeypatch):
    for name, value in {"block": 64, "broad": 64, "threads": 64}.items():
        monkeypatch.setattr(device.current(), name, value)
    x = T.fmatrix("x")
    with watched() as found:
        soft = fuse.function([x], T.nnet.softmax(x), device="cuda")
        soft(np.ones((1, 530), "float32"))
    assert not found
