"""Ways to read a graph: formulas, trees, listings, LaTeX, pictures; and printing at run time."""
from fuse.printing.debug import debugprint, listing, min_informative_str
from fuse.printing.formula import pp, pprint, short_text
from fuse.printing.graph import MissingGraphviz, dot_text, mermaid, pydotprint
from fuse.printing.show import Print
from fuse.printing.tex import latex, repr_latex

__all__ = [
    "MissingGraphviz", "Print", "debugprint", "dot_text", "latex", "listing", "mermaid", "min_informative_str", "pp",
    "pprint", "pydotprint", "repr_latex", "short_text",
]


def __getattr__(name: str) -> bool | str:
    if name in ("pydot_imported", "pydot_imported_msg"):  # whether pictures can be drawn, and if not, why
        from importlib.util import find_spec

        found = find_spec("pygraphviz") is not None
        return found if name == "pydot_imported" else "" if found else "pydotprint needs pygraphviz"
    raise AttributeError(f"module 'fuse.printing' has no attribute {name!r}")
