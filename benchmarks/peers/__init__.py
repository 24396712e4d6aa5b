"""The peers: a table of names, and for each one small module.

A peer module has three functions, and imports its library only inside them:

* ``load() -> str`` imports everything a user's script would, and returns the version;
* ``build(workload, inputs) -> Program`` prepares the inputs and builds the program (``Unsupported`` if it cannot);
* ``environment(folder) -> dict[str, str]`` sends every cache of the peer on disk to ``folder``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from benchmarks.records import Data, Program, Workload

__all__ = ["PEERS", "Peer", "PeerModule", "Unsupported"]


class Unsupported(Exception):
    """The peer has no program for the workload: a gap in the table, not an error."""


class PeerModule(Protocol):
    """What a peer's module offers."""

    def load(self) -> str:
        """Import the peer and return its version."""

    def build(self, workload: Workload, inputs: Data) -> Program:
        """Return the workload as a program of this peer."""

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment variables that keep the peer's caches in ``folder``."""


class Peer(NamedTuple):
    """An entry of the table: the column's title, the module, and and what the tables need to know."""

    title: str
    module_name: str
    competes: bool = True  # for «best peer»
    derives: bool = True  # its program from the formula; else the record must hold one
    interpreter: str = ""  # the peer whose interpreter is its own, if --python does not name one

    def module(self) -> PeerModule:
        """Import the peer's module (not yet its library)."""
        return cast(PeerModule, importlib.import_module(f"benchmarks.peers.{self.module_name}"))


PEERS: dict[str, Peer] = {
    "fuse": Peer("fuse", "with_fuse", competes=False),
    "numba": Peer(
        "by hand", "with_numba", competes=False, derives=False
    ),  # the limit that a person reaches, not a peer
    "numpy": Peer("NumPy", "with_numpy"),
    "numexpr": Peer("numexpr", "with_numexpr", derives=False),
    "pytensor": Peer("PyTensor", "with_pytensor"),
    "pytensor-c": Peer("PyTensor-C", "with_pytensor_c", interpreter="pytensor"),
    "jax": Peer("JAX", "with_jax"),
}
