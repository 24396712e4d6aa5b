"""``compile.function``: the function, and as a module what belongs to it."""
from fuse.compile.function import types as types
from fuse.compile.function.pfunc import pfunc as pfunc
from fuse.compiled import function as function
from fuse.inside import callable_module as _callable_module
from fuse.misc.pkl_utils import function_dump as function_dump

_callable_module(__name__, function)
