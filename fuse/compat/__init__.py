"""Theano's ``compat``: what its programs import from there is in Python itself."""
from collections import OrderedDict as OrderedDict
from collections.abc import Callable as Callable
from collections.abc import Iterable as Iterable
from collections.abc import Mapping as Mapping
from functools import partial as partial
from functools import reduce as reduce
from io import BytesIO as BytesIO
from io import StringIO as StringIO
from itertools import zip_longest as izip_longest
from operator import truediv as operator_div

from fuse.compat import python2x as python2x

PY3 = True
imap, izip, ifilter = map, zip, filter


def exc_message(e):
    """The message of an exception.

    >>> exc_message(ValueError("wrong"))
    'wrong'
    """
    return e.args[0] if len(e.args) == 1 else e


def decode(x):
    """Bytes as text; text as it is."""
    return x.decode() if isinstance(x, bytes) else x
