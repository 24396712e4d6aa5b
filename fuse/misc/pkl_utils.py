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
