"""PyTensor's ``tensor.math`` and special functions of Theano's that few programs use."""
from fuse.frontend.bessel import *
from fuse.frontend.bessel import __all__ as _bessel
from fuse.frontend.incomplete import *
from fuse.frontend.incomplete import __all__ as _incomplete

# What a program that takes everything from here gets besides, from fuse.tensor.
_COMMON = """
    abs add all allclose and_ angle any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin
    bitwise_and bitwise_not bitwise_or bitwise_xor ceil ceil_intdiv chi2sf clip complex complex_from_polar conj
    conjugate cos cosh cov deg2rad dense_dot digamma divmod dot eq equal erf erfc erfcinv erfcx erfinv exp exp2
    expit expm1 floor floor_div gamma gammaln ge greater greater_equal gt imag int_div invert iround isclose
    isfinite isinf isnan isneginf isposinf kn largest le less less_equal log log1mexp log1p log1pexp log2 log10
    logaddexp logsumexp lt matmul matvec max max_and_argmax maximum mean median min minimum mod mul nan_to_num
    neg neq not_equal or_ outer polygamma pow power prod psi ptp rad2deg real reciprocal round
    round_half_away_from_zero round_half_to_even sgn sigmoid sign sin sinh smallest softplus sqr sqrt square std
    sub sum tan tanh tensordot tri_gamma true_div trunc var vecdot vecmat xor
"""
__all__ = [*_bessel, *_incomplete, *_COMMON.split()]


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    import fuse.tensor

    if name == "_allclose":
        from fuse.tensor.basic import _allclose

        return _allclose
    if name == "Convolve":
        from fuse.internals import stand_in

        return stand_in(__name__, name, "use convolve")
    if name == "_dot":
        return fuse.tensor.Dot()
    if name.removeprefix("_") in __all__:  # PyTensor has ops beside functions around them: `_conj`
        name = name.removeprefix("_")
    return fuse.tensor.found(name, but="math")
