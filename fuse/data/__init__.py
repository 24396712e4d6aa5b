"""Small real data sets for the demo, the documentation and the tests."""

from __future__ import annotations

import io
from importlib import resources

import numpy as np
from numpy.typing import NDArray

__all__ = ["digits"]


def digits() -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return 1,797 handwritten digits as ``(images, labels)``.

    ``images`` is float64 of shape (1797, 64): rows of 8×8 grey images, 0 for paper and 1 for full ink. ``labels`` is
    int32 of shape (1797,) with the digits 0 to 9. Source: the test set of *Optical Recognition of Handwritten Digits*
    (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0).

    >>> images, labels = digits()
    >>> images.shape, labels[:10].tolist()
    ((1797, 64), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    >>> for row in images[0].reshape(8, 8):
    ...     print("".join(" .:*#"[int(4 * ink)] for ink in row).rstrip())
      .*:
      **:*.
      *  ::
     .*  ::
     .:  ::
     .:  *.
      *.:*
      .*:
    """
    file = resources.files(__name__).joinpath("digits.npz").read_bytes()  # of an archive, too
    with np.load(io.BytesIO(file), allow_pickle=False) as archive:
        images = archive["images"] / 16.0
        labels = archive["labels"].astype(np.int32)
    return images, labels
