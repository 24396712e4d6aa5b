"""What to say about a name that a module lacks: that it comes later, or where else it is."""
from __future__ import annotations

import importlib

# Names that Theano has and this version has not, by topic.
LATER = {
    "sparse": "sparse matrices are not part of fuse",
}
_ELSEWHERE = (
    "fuse.tensor", "fuse.tensor.nnet", "fuse.gradient", "fuse.printing", "fuse.tensor.nlinalg", "fuse.tensor.slinalg",
)


def no_attribute(module: str, name: str) -> AttributeError:
    """The error for ``module.name``, with a hint where there is one.

    >>> no_attribute("fuse.tensor", "softmax")
    AttributeError("module 'fuse.tensor' has no attribute 'softmax'; there is fuse.tensor.nnet.softmax")
    """
    text = f"module {module!r} has no attribute {name!r}"
    if name in LATER:
        text += f": {LATER[name]}"
    elif not name.startswith("_"):
        for other in _ELSEWHERE:
            if other != module and name in vars(importlib.import_module(other)):
                text += f"; there is {other}.{name}"
                break
    return AttributeError(text)
