"""fuse: a fresh kernel cache, the default mode."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import theano_like
from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary


def load() -> str:
    """Import fuse as its users do, and return its version."""
    import fuse
    import fuse.tensor

    return str(fuse.__version__)


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload as a ``fuse.function``."""
    import fuse
    import fuse.tensor as T

    m = Vocabulary(
        T, softmax=T.nnet.softmax, log_softmax=T.nnet.log_softmax, put=lambda x, i, v: T.set_subtensor(x[i], v),
        correlate2d=lambda x, w: T.nnet.conv2d(x, w, filter_flip=False), loop=fuse.loop, repeat_while=fuse.while_loop,
        inv=T.nlinalg.matrix_inverse, logdet=lambda x: T.nlinalg.slogdet(x)[1], sigmoid=T.nnet.sigmoid,
    )
    with fuse.config.change_flags(floatX=theano_like.precision(inputs)):
        return theano_like.build(workload, inputs, m, fuse.shared, fuse.grad, fuse.function)


def environment(folder: Path) -> dict[str, str]:
    """Keep compiled kernels in ``folder``."""
    return {"FUSE_CACHE_DIR": str(folder / "fuse"), "NUMBA_CACHE_DIR": str(folder / "numba")}
