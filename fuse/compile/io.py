"""Theano's ``compile.io``: options of inputs and outputs."""
from fuse.signature import In as In
from fuse.signature import Out as Out

SymbolicInput = In
SymbolicOutput = Out
