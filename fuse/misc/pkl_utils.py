"""Theano's ``misc.pkl_utils``: expressions, shared variables and functions pickle as they are."""
from __future__ import annotations

import pickle
from typing import Any, BinaryIO

StripPickler = pickle.Pickler
CompatUnpickler = pickle.Unpickler


def dump(obj: Any, file_handler: BinaryIO, protocol: int = pickle.DEFAULT_PROTOCOL, **_: Any) -> None:
    """Pickle ``obj`` into an open binary file.

    >>> import io, fuse
    >>> file = io.BytesIO()
    >>> dump(fuse.shared(2.0, "w"), file)
    >>> load(io.BytesIO(file.getvalue())).name
    'w'
    """
    pickle.dump(obj, file_handler, protocol)


def load(f: BinaryIO, **_: Any) -> Any:
    """What ``dump`` wrote."""
    return pickle.load(f)


def function_dump(filename: str, inputs: Any, outputs: Any = None, **options: Any) -> None:
    """Pickle the arguments of ``fuse.function``; ``fuse.function(**arguments)`` makes that function later.

    >>> import os, tempfile, fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> path = os.path.join(tempfile.mkdtemp(), "arguments.pkl")
    >>> function_dump(path, [x], [x + 1])
    >>> with open(path, "rb") as file:
    ...     fuse.function(**load(file))(1.0)
    [array(2.)]
    """
    known = ("mode", "updates", "givens", "no_default_updates", "accept_inplace", "name", "rebuild_strict",
             "allow_input_downcast", "profile", "on_unused_input", "extra_tag_to_remove")
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"function_dump got unexpected arguments: {', '.join(unknown)}")
    options.pop("extra_tag_to_remove", None)
    with open(filename, "wb") as file:
        dump({"inputs": inputs, "outputs": outputs, **options}, file)
