"""Theano's ``scan_module.scan_op``: the class of loops, to ask ``isinstance(node.op, Scan)``."""
from fuse.internals import lookup as _lookup
from fuse.op import Op as _Op


class _Loops(type):
    def __instancecheck__(cls, op: object) -> bool:
        return isinstance(op, _Op) and op.name == "loop"


class Scan(metaclass=_Loops):
    """The op of loops; ``fuse.scan`` makes them.

    >>> import fuse, fuse.tensor as T
    >>> powers, _ = fuse.scan(lambda p: p * 2, outputs_info=T.dscalar("x"), n_steps=3)
    >>> any(isinstance(node.owner.op, Scan) for node in fuse.gof.graph.ancestors([powers]) if node.owner)
    True
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError("loops are made with fuse.scan, not with the class of their op")


__getattr__ = _lookup(__name__)
