"""Loops: Theano's ``scan`` and its views, and the carry-style ``loop`` and ``while_loop``."""
from fuse.scan_module.carry import loop as loop
from fuse.scan_module.carry import while_loop as while_loop
from fuse.scan_module.scan import scan as scan
from fuse.scan_module.scan_utils import until as until
from fuse.scan_module.scan_views import foldl as foldl
from fuse.scan_module.scan_views import foldr as foldr
from fuse.scan_module.scan_views import map as map
from fuse.scan_module.scan_views import reduce as reduce
