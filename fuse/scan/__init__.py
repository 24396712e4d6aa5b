"""PyTensor's ``scan``: the package of loops, which is also the function."""
from fuse.inside import callable_module as _callable_module
from fuse.scan_module import foldl as foldl
from fuse.scan_module import foldr as foldr
from fuse.scan_module import map as map
from fuse.scan_module import reduce as reduce
from fuse.scan_module import scan as scan
from fuse.scan_module import until as until

_callable_module(__name__, scan)
