"""Theano's ``tensor.extra_ops``."""
from fuse.frontend.axes import squeeze as squeeze
from fuse.frontend.extra_ops import *
from fuse.frontend.interpolation import interp as interp
from fuse.frontend.nnet import to_one_hot as to_one_hot
from fuse.frontend.rearrange import repeat as repeat
from fuse.frontend.scans import cumprod as cumprod
from fuse.frontend.scans import cumsum as cumsum
from fuse.frontend.selecting import compress as compress
from fuse.frontend.selecting import searchsorted as searchsorted
from fuse.frontend.signal_windows import bartlett as bartlett
from fuse.tensor.cpu_contiguous import CpuContiguous as CpuContiguous
from fuse.tensor.cpu_contiguous import cpu_contiguous as cpu_contiguous
from fuse.tensor.op_classes import Bartlett as Bartlett
from fuse.tensor.op_classes import CumOp as CumOp
from fuse.tensor.op_classes import DiffOp as DiffOp
from fuse.tensor.op_classes import FillDiagonal as FillDiagonal
from fuse.tensor.op_classes import FillDiagonalOffset as FillDiagonalOffset
from fuse.tensor.op_classes import RavelMultiIndex as RavelMultiIndex
from fuse.tensor.op_classes import RepeatOp as RepeatOp
from fuse.tensor.op_classes import SearchsortedOp as SearchsortedOp
from fuse.tensor.op_classes import Unique as Unique
from fuse.tensor.op_classes import UnravelIndex as UnravelIndex
