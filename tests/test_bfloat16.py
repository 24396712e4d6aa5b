"""bfloat16 as bits: both ways in formulas, on the CPU and in the simulator, and arrays of other libraries."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import device, dlpack
from fuse.codegen.cuda_array import DeviceArray, to_device
from fuse.errors import DTypeError, FuseTypeError

device.simulate()
ALL = np.arange(1 << 16, dtype="u2")
X = np.linspace(-2, 2, 24, dtype="f4").reshape(4, 6)


def wide(bits):
    return (bits.astype("u4") << 16).view("f4")


def near(x):
    """The bits of the nearest number, of two the even one, by distances in float64."""
    low = x.view("u4") >> 16  # towards zero
    both = [np.float64(wide(b.astype("u2"))) for b in (low, low + 1)]
    both[1][np.isinf(both[1])] = 2.0**128 * np.sign(both[1][np.isinf(both[1])])  # where the next number would be
    below, above = [abs(b - np.float64(x)) for b in both]
    up = (above < below) | (above == below) & (low % 2 == 1)
    return (low + up).astype("u2")


def test_every_number_is_widened_exactly_and_float32_is_rounded_to_the_nearest_even_one():
    b, x = T.TensorType("uint16", (None,))("b"), T.fvector("x")
    f = fuse.function([b], [T.from_bfloat16(b), T.to_bfloat16(T.from_bfloat16(b))])
    single, back = f(ALL)
    np.testing.assert_array_equal(single, wide(ALL))
    kept = ~np.isnan(single)
    np.testing.assert_array_equal(back[kept], ALL[kept])
    np.testing.assert_array_equal(back[~kept], ALL[~kept] & 0x8000 | 0x7FC0)
    rng = np.random.default_rng(3)
    halves = ((rng.integers(0, 1 << 16, 3000) << 16) + 0x8000 + rng.integers(-1, 2, 3000)).astype("u4")
    any_ = rng.integers(0, 1 << 32, 3000, dtype="u4")
    values = np.concatenate([halves, any_, np.array([0, 0x7F7FFFFF, 0x80000001], "u4")]).view("f4")
    values = values[np.isfinite(values)]
    np.testing.assert_array_equal(fuse.function([x], T.to_bfloat16(x))(values), near(values))


def test_a_kernel_of_a_gpu_reads_and_writes_two_bytes_and_computes_in_float32():
    b = T.TensorType("uint16", (None, None))("b")
    x = T.from_bfloat16(b)
    outputs = [T.to_bfloat16(T.nnet.softmax(x)), T.to_bfloat16(x * x + 1), x.sum(0), T.grad((x**2).sum(), x)]
    f = fuse.function([b], outputs, device="cuda")
    assert all("float64" not in source.text for region in f.fn.regions for source in
               region.launches(("C",) * len(region.bases))[0].sources)
    bits = near(X.ravel()).reshape(X.shape)
    for have, want in zip(f(bits), fuse.function([b], outputs)(bits), strict=True):
        assert have.dtype == want.dtype
        have, want = [wide(a) if a.dtype == "u2" else a for a in (have, want)]
        np.testing.assert_allclose(have, want, rtol=2**-8)


def test_other_dtypes_are_refused():
    with pytest.raises(FuseTypeError, match="rounded from float32, not from float64: cast to float32 first"):
        T.to_bfloat16(T.dvector())
    with pytest.raises(FuseTypeError, match="the bits of bfloat16 are uint16, not float32"):
        T.from_bfloat16(T.fvector())
    with pytest.raises(DTypeError, match=r"no dtype 'bfloat16'.* T\.bfloat16_bits\(array\).*T\.from_bfloat16"):
        T.TensorType("bfloat16", ())
    for other in (X, to_device(X), "text", SimpleNamespace(__cuda_array_interface__={"typestr": "<f4"})):
        with pytest.raises(DTypeError, match="an array of bfloat16 is needed, not"):
            T.bfloat16_bits(other)


class OnGpu:
    """An array of bfloat16 as libraries tell of it."""

    dtype = "bfloat16"

    def __init__(self, bits, **more):
        self.kept = to_device(bits)
        self.__cuda_array_interface__ = {**self.kept.__cuda_array_interface__, "typestr": "<V2", **more}


def test_arrays_of_other_libraries_give_their_bits_without_a_copy(monkeypatch):
    bits = near(X.ravel()).reshape(X.shape)
    assert np.shares_memory(T.bfloat16_bits(bits.view("V2")), bits)  # ml_dtypes
    here = OnGpu(bits)
    with device.counted() as seen:
        taken = T.bfloat16_bits(here)
    assert isinstance(taken, DeviceArray) and taken.address == here.kept.address and not seen()
    monkeypatch.setitem(dlpack._CODES, "u", dlpack.BFLOAT[0])
    given = to_device(bits)
    for array in (given.T[1:], given[:0]):
        lent = SimpleNamespace(__dlpack__=array.__dlpack__, __dlpack_device__=array.__dlpack_device__)
        found = T.bfloat16_bits(lent)
        np.testing.assert_array_equal(found, array.get())
        assert not found.size or found.ctypes.data == array.address
        del lent, found
    with pytest.raises(DTypeError, match="not of float32"):
        T.bfloat16_bits(SimpleNamespace(
            __dlpack__=to_device(X).__dlpack__, __dlpack_device__=given.__dlpack_device__, dtype="float32"
        ))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, r"^input x \(float32 matrix\).*'<V2', bfloat16, or another type of two bytes: give its bits, T\.bfloat16"),
        ({"typestr": "|V1"}, r"^input x .*'\|V1', a dtype that fuse does not have: convert it with the library"),
        ({"typestr": ">f4"}, "^input x .*'>f4'"),
        ({"typestr": "<u2", "mask": 1}, "masked array"),
    ],
)
def test_what_is_wrong_with_an_array_of_another_library_is_said(more, said):
    f = fuse.function([x := T.fmatrix("x")], x + 1, device="cuda")
    with pytest.raises(DTypeError, match=f"(?s){said}"):
        f(OnGpu(near(X.ravel()), **more))


def test_an_array_on_a_gpu_is_not_for_a_function_of_the_cpu():
    f = fuse.function([x := T.fvector("x")], x + 1, mode="FAST_COMPILE")
    with pytest.raises(DTypeError, match="OnGpu is an array on a GPU, and the function runs on the CPU"):
        f(OnGpu(near(X.ravel())))
