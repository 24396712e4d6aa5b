"""Theano's ``tensor.inplace``: ``exp_inplace`` and its kin, which leave their value in their first argument."""
from typing import Any as _Any

from fuse.missing import no_attribute as _no_attribute

_ENDING = "_inplace"


def __getattr__(name: str) -> _Any:
    import fuse.frontend.elementwise as functions
    import fuse.tensor.math as seldom
    from fuse.frontend.overwriting import in_place

    plain = name.removesuffix(_ENDING) if name.endswith(_ENDING) else ""
    found = getattr(seldom if plain in seldom.__all__ else functions, plain, None)
    if found is None:
        raise _no_attribute("fuse.tensor.inplace", name)
    return in_place(found, name)
