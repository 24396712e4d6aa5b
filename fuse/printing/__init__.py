"""Ways to read a graph: formulas, trees, listings, LaTeX, pictures; and printing at run time."""
import hashlib as _hashlib
from typing import Any as _Any

import numpy as _np

from fuse.printing.debug import debugprint, listing, min_informative_str
from fuse.printing.formula import pp, pprint, short_text
from fuse.printing.graph import MissingGraphviz, dot_text, mermaid, pydotprint
from fuse.printing.show import Print
from fuse.printing.tex import latex, repr_latex

__all__ = [
    "MissingGraphviz", "Print", "debugprint", "dot_text", "hex_digest", "latex", "listing", "mermaid",
    "min_informative_str", "pp", "pprint", "pydotprint", "repr_latex", "short_text",
]


def hex_digest(x: _np.ndarray[_Any, _Any]) -> str:
    """A digest of an array's bytes, with its strides and shape.

    Raises TypeError for what is no array.

    >>> hex_digest(_np.zeros((2, 3)))[-26:]
    'strides=[24,8]|shape=[2,3]'
    """
    if not isinstance(x, _np.ndarray):
        raise TypeError(f"hex_digest takes arrays, not {type(x).__name__}")
    strides, shape = ",".join(map(str, x.strides)), ",".join(map(str, x.shape))
    return f"{_hashlib.sha256(x.tobytes()).hexdigest()}|strides=[{strides}]|shape=[{shape}]"


var_descriptor = min_informative_str
dprint = debugprint


def __getattr__(name: str) -> bool | str:
    if name in ("pydot_imported", "pydot_imported_msg"):  # whether pictures can be drawn, and if not, why
        from importlib.util import find_spec

        found = find_spec("pygraphviz") is not None
        return found if name == "pydot_imported" else "" if found else "pydotprint needs pygraphviz"
    raise AttributeError(f"module 'fuse.printing' has no attribute {name!r}")
