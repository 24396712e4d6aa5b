"""What an op may say of itself in ``traits``; whoever asks reads it there, so that a new op needs no line elsewhere."""
from __future__ import annotations

TRAITS = {
    "along": "its parameters `axis`, `axis1`, `axis2` say which axes it is about: along the others it repeats itself",
    "chooses": "each of its elements is an element of an operand: of the first, or of any where it is elementwise (a "
    "condition and a model of the shape give none)",
    "commutative": "its two operands may change places",
    "count": "an integer that counts something: it is not below zero, and does not overflow",
    "dear": "of one number, and slow: of a choice between a constant and something else it is a choice of its values",
    "finite-slopes": "its derivatives are finite wherever its value is, but for overflow: a tangent of zero stays zero",
    "increasing": "of any real numbers, the larger one has the larger value or the same: extrema stay where they are",
    "keeps-sign": "where the operands that `chooses` speaks of are not below zero, it is not either, but for overflow",
    "light": "about one instruction: it is computed again rather than kept",
    "nonnegative": "its value is not below zero wherever it is a real float",
    "odd": "of the opposite of a real number its value is the opposite, to the last bit",
    "simple-logarithm": "its value is positive, and the logarithm of it has a formula that is simpler",
    "stacks": "it is done for each entry of the leading axes of its operands: stacks of matrices, of spectra",
    "test": "of bools it is a bool in Python too, as `True + True` is not",
}


def traits_of(words: str) -> frozenset[str]:
    """The traits that ``words`` name; ValueError for a word that is none."""
    found = frozenset(words.split())
    if unknown := found - TRAITS.keys():
        raise ValueError(f"an op has the traits {', '.join(TRAITS)}, not {', '.join(sorted(unknown))}")
    return found
