"""The peers: a table of names, and for each one small module.

A peer module has three functions, and imports its library only inside them:

* ``load() -> str`` imports everything a user's script would, and returns the version;
* ``build(workload, inputs) -> Program`` prepares the inputs and builds the program (``Unsupported`` if it cannot);
* ``environment(folder) -> dict[str, str]`` sends every cache of the peer on disk to ``folder``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from benchmarks.records import Data, Program, Workload

__all__ = ["PEERS", "Peer", "PeerModule", "Unsupported", "failure"]


class Unsupported(Exception):
    """The peer has no program for the workload: a gap in the table, not an error."""


def failure(error: Exception) -> dict[str, Any]:
    """Return what a table's cell says of what a peer raised: that it cannot, or the error's first line."""
    if isinstance(error, Unsupported):
        return {"unsupported": True}
    text = str(error).strip().splitlines()
    return {"error": f"{type(error).__name__}: {text[0] if text else ''}"[:300]}


class PeerModule(Protocol):
    """What a peer's module offers."""

    def load(self) -> str:
        """Import the peer and return its version."""

    def build(self, workload: Workload, inputs: Data) -> Program:
        """Return the workload as a program of this peer."""

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment variables that keep the peer's caches in ``folder``."""


class Peer(NamedTuple):
    """An entry of the table: the column's title, the module, and what the tables need to know."""

    title: str
    module_name: str
    competes: bool = True  # for «best peer»
    interpreter: str = ""  # the peer whose interpreter is its own, if --python does not name one
    spins: bool = True  # its threads, or those of its BLAS, wait awake for the next call
    compiles: bool = False  # its first answer is worth a fresh process: it builds, and keeps on disk what it built

    def module(self) -> PeerModule:
        """Import the peer's module (not yet its library)."""
        return cast(PeerModule, importlib.import_module(f"benchmarks.peers.{self.module_name}"))


PEERS: dict[str, Peer] = {
    "fuse": Peer("fuse", "with_fuse", competes=False, compiles=True),
    "numba": Peer("by hand", "with_numba", competes=False),  # the limit that a person reaches, not a peer
    "numpy": Peer("NumPy", "with_numpy"),
    "numexpr": Peer("numexpr", "with_numexpr", spins=False),
    "pytensor": Peer("PyTensor", "with_pytensor", compiles=True),
    "pytensor-c": Peer("PyTensor-C", "with_pytensor_c", interpreter="pytensor", compiles=True),
    "jax": Peer("JAX", "with_jax", compiles=True),
    "torch": Peer("torch", "with_torch"),
    "torch-compile": Peer("torch.compile", "with_torch_compile", interpreter="torch", compiles=True),
    "autograd": Peer("autograd", "with_autograd"),
    "casadi": Peer("CasADi", "with_casadi", spins=False),
    "lambdify": Peer("lambdify", "with_lambdify", spins=False),
}
