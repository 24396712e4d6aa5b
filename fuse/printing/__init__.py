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
