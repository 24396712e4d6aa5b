"""Random loops: compiled against the interpreter, values and gradients, and gradients against each other."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.scan_module import until

N, M = 3, 2  # sizes of vectors, and rows of matrices
SHAPES = [(), (N,), (M, N)]


class Maker:
    """One random loop: its inputs with values, and its outputs."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs: list = []
        self.values: list = []
        self.dtype = self.pick(["float64", "float64", "float64", "float32"])
        self.length = self.pick([1, 2, 5, 6, 17])

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def input(self, shape, scale=0.7):
        x = T.TensorType(self.dtype, (None,) * len(shape))(f"x{len(self.inputs)}")
        self.inputs.append(x)
        self.values.append((scale * self.rng.normal(size=shape)).astype(self.dtype))
        return x

    def value(self, pool, shape):
        """A value of ``shape`` from values of a pool, by one random operation."""
        same = [v for v in pool if v.ndim == len(shape)]
        vectors, matrices = [v for v in pool if v.ndim == 1], [v for v in pool if v.ndim == 2]
        a, b = self.pick(same), self.pick(same)
        kinds = ["add", "mul", "tanh", "sin", "where", "sub", "max", "mix"]
        kinds += {
            0: ["sum", "item", "dot", "mean"],
            1: ["matvec", "vecmat", "slice", "join", "row", "softmax", "store", "add at"],
            2: ["outer", "matmul", "turn"],
        }[len(shape)]
        kind = self.pick(kinds)
        if kind == "add":
            return a + b
        if kind == "sub":
            return a - b
        if kind == "mul":
            return a * b
        if kind == "tanh":
            return T.tanh(a)
        if kind == "sin":
            return T.sin(a + b)
        if kind == "where":
            return T.switch(T.gt(a, b), a, T.tanh(b))
        if kind == "max":
            return T.maximum(a, b)
        if kind == "mix":
            return T.tanh(a) * self.pick(pool if len(shape) == 2 else [v for v in pool if v.ndim <= len(shape)])
        if kind == "sum":
            return T.tanh(self.pick(vectors + matrices).sum())
        if kind == "mean":
            return self.pick(vectors).max() + self.pick(matrices).sum()
        if kind == "item":
            return self.pick(vectors)[self.pick([0, -1, 1])]
        if kind == "dot":
            return T.tanh(T.dot(self.pick(vectors), self.pick(vectors)))
        if kind == "matvec":
            return T.tanh(T.dot(self.square, a))
        if kind == "vecmat":
            return T.tanh(T.dot(a, self.square))
        if kind == "slice":
            return a[::-1]
        if kind == "join":
            return T.concatenate([a[1:], b[:1]])
        if kind == "row":
            return self.pick(matrices)[self.pick([0, -1])]
        if kind == "softmax":
            return T.nnet.softmax(a.dimshuffle("x", 0))[0]
        if kind == "store":
            return T.set_subtensor(a[1], self.pick([v for v in pool if v.ndim == 0]))
        if kind == "add at":
            return T.tanh(T.inc_subtensor(a[T.as_tensor_variable([2, 0, 0])], b))
        if kind == "outer":
            return T.tanh(self.pick(matrices) * self.pick(vectors))
        if kind == "turn":
            return T.dot(a, b.T).dimshuffle(0, 1)[:, :1] * a
        return T.tanh(T.dot(a, self.square))

    def build(self):
        """(outputs, those that have gradients)."""
        pick = self.pick
        self.square = self.input((N, N))
        taps = [pick([(0,), (0,), (-1, 0), (0, 1), (-2,)]) for _ in range(pick([0, 1, 1, 2]))]
        shapes = [pick(SHAPES) for _ in taps]
        sequences = [
            {"input": self.input((self.length + 2, *s)), "taps": list(t)} for s, t in zip(shapes, taps, strict=True)
        ]
        kinds = [pick(SHAPES) for _ in range(pick([1, 1, 2, 3]))]
        back = [pick([(-1,), (-1,), (-1,), (-2, -1), (-2,), None]) for _ in kinds]
        infos = []
        for shape, t in zip(kinds, back, strict=True):
            first = None if t is None else self.input(shape if t == (-1,) else (2, *shape))
            infos.append(None if t is None else {"initial": first, "taps": list(t)})
        fixed = [self.input(s) for s in SHAPES]
        closed = self.input((N,))

        def step(*args):
            pool = [*args, closed, closed.sum() * np.asarray(0.1, self.dtype), T.outer(closed[:M], closed)]
            for _ in range(pick([0, 1, 3, 6])):
                pool.append(self.value(pool, pick(SHAPES)))
            outputs = [self.value(pool, s) for s in kinds]
            if ends:
                return outputs, until(T.gt(abs(pool[0]).sum(), 3.0))
            return outputs

        ends = pick([False] * 5 + [True])
        steps = pick([None, self.length, 0]) if sequences else self.length
        outputs, _ = fuse.scan(
            step, sequences, infos, fixed, n_steps=steps, go_backwards=pick([False, False, True]), return_list=True,
        )
        picked = [pick([o, o[-1] if steps != 0 else o, o.sum(), o[:, None]]) for o in outputs]
        return [T.tanh(o) if pick([True, False]) else o for o in picked]


def compiled_and_interpreted(maker, outputs):
    ins = maker.inputs
    compiled = fuse.function(ins, outputs, on_unused_input="ignore")(*maker.values)
    plain = fuse.function(ins, outputs, on_unused_input="ignore", mode="FAST_COMPILE")(*maker.values)
    return compiled, plain


@pytest.mark.parametrize("seed", range(8))
def test_random_loops(seed):
    maker = Maker(seed)
    outputs = maker.build()
    cost = sum((T.sin(o).sum() for o in outputs), start=T.constant(0.0, dtype="float64"))
    slopes = fuse.grad(cost, maker.inputs, disconnected_inputs="ignore")
    close = {"rtol": 2e-3, "atol": 2e-4} if maker.dtype == "float32" else {"rtol": 1e-9, "atol": 1e-10}
    compiled, plain = compiled_and_interpreted(maker, [*outputs, *slopes])
    for a, b in zip(compiled, plain, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, **close)
    if maker.dtype == "float64":
        points = [maker.input(v.shape, 1.0) for v in list(maker.values)]
        forward = fuse.Rop(cost, maker.inputs[: len(points)], points, disconnected_outputs="ignore")
        a = fuse.function(maker.inputs, forward, on_unused_input="ignore")(*maker.values)
        b = sum(float((g * v).sum()) for g, v in zip(compiled[len(outputs):], maker.values[len(points):], strict=True))
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
