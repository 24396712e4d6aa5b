"""What exported text calls for linear algebra, orders and correlations: functions for NumPy and, most, for Numba.

They work on stacks of matrices, or on rows, of contiguous arrays, whose dtypes are those of the result. Their text is
what is exported, so they name nothing but NumPy and each other (`alone_calls.USES`).
"""
import numpy as np


# ---------------------------------------------------------------- stacks of matrices
def inverses(x):
    out = np.empty_like(x)
    for k in range(len(x)):
        out[k] = np.linalg.inv(x[k])
    return out


def determinants(x):
    out = np.empty(len(x), x.dtype)
    for k in range(len(x)):
        out[k] = np.linalg.det(x[k])
    return out


def log_determinants(x, kind):
    sign, logarithm = np.empty(len(x), x.dtype), np.empty(len(x), kind)
    for k in range(len(x)):
        sign[k], logarithm[k] = np.linalg.slogdet(x[k])
    return sign, logarithm


def lower_factors(x, lower):
    out = np.empty_like(x)
    for k in range(len(x)):
        if lower:
            out[k] = np.linalg.cholesky(x[k])
        else:
            out[k] = np.conj(np.linalg.cholesky(np.ascontiguousarray(np.conj(x[k].T))).T)
    return out


def factors_or_nan(x, lower):
    out = np.empty_like(x)
    for k in range(len(x)):
        try:
            out[k] = lower_factors(x[k : k + 1], lower)[0]
        except np.linalg.LinAlgError:
            out[k] = np.nan
    return out


def triangular_solution(a, b, lower, unit_diagonal):
    n = len(a)
    x = b.copy()
    for step in range(n):
        i = step if lower else n - 1 - step
        for j in range(0 if lower else i + 1, i if lower else n):
            for c in range(x.shape[1]):
                x[i, c] -= a[i, j] * x[j, c]
        if not unit_diagonal:
            if a[i, i] == 0:
                raise ValueError("solve_triangular: there is a 0 on the diagonal")
            for c in range(x.shape[1]):
                x[i, c] /= a[i, i]
    return x


def eigensystems(x, lower, kind):
    values, vectors = np.empty(x.shape[:2], kind), np.empty_like(x)
    for k in range(len(x)):
        m = x[k] if lower else np.ascontiguousarray(np.conj(x[k].T))
        found = np.linalg.eigh(m)
        values[k], vectors[k] = found[0], found[1]
    return values, vectors


def eigenvalues(x, lower, kind):
    values = np.empty(x.shape[:2], kind)
    for k in range(len(x)):
        m = x[k] if lower else np.ascontiguousarray(np.conj(x[k].T))
        values[k] = np.linalg.eigvalsh(m)
    return values


def singular_systems(x, full_matrices, kind):
    count, m, n = x.shape
    least = min(m, n)
    u = np.empty((count, m, m if full_matrices else least), x.dtype)
    s = np.empty((count, least), kind)
    v = np.empty((count, n if full_matrices else least, n), x.dtype)
    for k in range(count):
        found = np.linalg.svd(x[k], full_matrices)
        u[k], s[k], v[k] = found[0], found[1], found[2]
    return u, s, v


def singular_values(x, kind):
    s = np.empty((len(x), min(x.shape[1], x.shape[2])), kind)
    for k in range(len(x)):
        s[k] = np.linalg.svd(x[k], False)[1]
    return s


def orthogonal_factors(x):
    count, m, n = x.shape
    least = min(m, n)
    q, r = np.empty((count, m, least), x.dtype), np.empty((count, least, n), x.dtype)
    for k in range(count):
        found = np.linalg.qr(x[k])
        q[k], r[k] = found[0], found[1]
    return q, r


def pseudo_inverses(x, rcond):
    out = np.empty((len(x), x.shape[2], x.shape[1]), x.dtype)
    for k in range(len(x)):
        out[k] = np.linalg.pinv(x[k], rcond)
    return out


def exponentials(x, wide):
    # Higham, "The scaling and squaring method for the matrix exponential revisited" (2005): Pade, degree 13.
    out = np.empty_like(x)
    for k in range(len(x)):
        a = x[k].astype(wide)
        one = np.eye(len(a)).astype(wide)
        largest = np.abs(a).sum(axis=0).max() if a.size else 0.0
        times = 0
        while largest > 5.371920351148152 and largest < np.inf:
            largest, times = largest / 2, times + 1
        a = a * 0.5**times
        a2 = np.dot(a, a)
        a4 = np.dot(a2, a2)
        a6 = np.dot(a4, a2)
        u = np.dot(a6, a6 + 16380.0 * a4 + 40840800.0 * a2)
        u = u + 33522128640.0 * a6 + 10559470521600.0 * a4 + 1187353796428800.0 * a2 + 32382376266240000.0 * one
        u = np.dot(a, u)
        v = np.dot(a6, 182.0 * a6 + 960960.0 * a4 + 1323241920.0 * a2)
        v = v + 670442572800.0 * a6 + 129060195264000.0 * a4 + 7771770303897600.0 * a2 + 64764752532480000.0 * one
        e = np.ascontiguousarray(np.linalg.solve(v - u, v + u))
        for _ in range(times):
            e = np.dot(e, e)
        out[k] = e.astype(x.dtype)
    return out


def products(x, y):
    out = np.empty((len(x), x.shape[1], y.shape[2]), x.dtype)
    for k in range(len(x)):
        out[k] = np.dot(x[k], y[k])
    return out


# ---------------------------------------------------------------- rows
def ordered_rows(x):
    out = np.empty(x.shape, np.int64)
    for k in range(len(x)):
        out[k] = np.argsort(x[k], kind="mergesort")
    return out


def sorted_rows(x):
    out = np.empty_like(x)
    for k in range(len(x)):
        out[k] = x[k][np.argsort(x[k], kind="mergesort")]
    return out


def running_sums(x):
    out = x.copy()
    for k in range(len(x)):
        for j in range(1, x.shape[1]):
            out[k, j] += out[k, j - 1]
    return out


def running_products(x):
    out = x.copy()
    for k in range(len(x)):
        for j in range(1, x.shape[1]):
            out[k, j] *= out[k, j - 1]
    return out


def recurrences(a, b, reverse):
    out = b.copy()
    n = b.shape[1]
    for k in range(len(b)):
        for j in range(1, n):
            if reverse:
                out[k, n - 1 - j] += a[k, n - j] * out[k, n - j]
            else:
                out[k, j] += a[k, j] * out[k, j - 1]
    return out


def extreme_places(x, largest):
    if not x.shape[1]:
        raise ValueError("there is nothing to take the extremum of")
    out = np.empty(len(x), np.int64)
    for k in range(len(x)):
        place, best = 0, x[k, 0]
        for j in range(1, x.shape[1]):
            value = x[k, j]
            if best == best and (value != value or (value > best if largest else value < best)):
                place, best = j, value
        out[k] = place
    return out


def distinct(x):
    ordered = sorted_rows(x)[0]
    out = np.empty_like(ordered)
    n = 0
    for value in ordered:
        if n == 0 or value != out[n - 1] and (value == value or out[n - 1] == out[n - 1]):
            out[n] = value
            n += 1
    return out[:n].copy()


# ---------------------------------------------------------------- correlations, for NumPy alone
def windows(x, window, strides, dilation):
    axes = tuple(range(2, x.ndim))
    spans = tuple([(n - 1) * d + 1 for n, d in zip(window, dilation, strict=True)])
    if any(n < s for n, s in zip(x.shape[2:], spans, strict=True)):
        raise ValueError(f"filters of size {window} are larger than the input {x.shape} (with its padding)")
    found = np.lib.stride_tricks.sliding_window_view(x, spans, axis=axes)
    steps = [slice(None, None, s) for s in strides]
    return found[(slice(None), slice(None), *steps, *[slice(None, None, d) for d in dilation])]


def correlated(x, w, strides, dilation, groups):
    if x.shape[1] != w.shape[1] * groups or len(w) % groups:
        raise ValueError(f"filters {w.shape} in {groups} groups do not fit the channels of the input {x.shape}")
    n = len(strides)
    parts = windows(x, w.shape[2:], strides, dilation)
    out = np.empty((len(x), len(w), *parts.shape[2 : 2 + n]), np.result_type(x, w))
    channels, filters = w.shape[1], len(w) // groups
    for k in range(groups):
        own, mine = slice(k * channels, (k + 1) * channels), slice(k * filters, (k + 1) * filters)
        axes = [1, *range(2 + n, 2 + 2 * n)], [1, *range(2, 2 + n)]
        out[:, mine] = np.moveaxis(np.tensordot(parts[:, own], w[mine], axes), -1, 1)
    return out


def correlated_filters(x, g, window, strides, dilation, groups):
    n = len(strides)
    parts = windows(x, window, strides, dilation)[(slice(None), slice(None), *[slice(m) for m in g.shape[2:]])]
    if len(g) != len(x) or parts.shape[2 : 2 + n] != g.shape[2:] or x.shape[1] % groups or g.shape[1] % groups:
        raise ValueError(f"a gradient {g.shape} does not fit the input {x.shape} and filters of size {window}")
    channels, filters = x.shape[1] // groups, g.shape[1] // groups
    out = np.empty((g.shape[1], channels, *window), np.result_type(x, g))
    axes = [0, *range(2, 2 + n)]
    for k in range(groups):
        own, mine = slice(k * channels, (k + 1) * channels), slice(k * filters, (k + 1) * filters)
        out[mine] = np.tensordot(g[:, mine], parts[:, own], (axes, axes))
    return out


def correlated_input(w, g, sizes, strides, dilation, groups):
    channels, filters = w.shape[1], len(w) // groups
    along = list(zip(g.shape[2:], strides, w.shape[2:], dilation, strict=True))
    reach = [(m - 1) * s + (k - 1) * d + 1 for m, s, k, d in along]
    if g.shape[1] != len(w) or len(w) % groups or g.size and any(r > m for r, m in zip(reach, sizes, strict=True)):
        raise ValueError(f"a gradient {g.shape} does not fit filters {w.shape} and an input of size {sizes}")
    out = np.zeros((len(g), channels * groups, *sizes), np.result_type(w, g))
    for k in range(groups):
        own, mine = slice(k * channels, (k + 1) * channels), slice(k * filters, (k + 1) * filters)
        for place in np.ndindex(*w.shape[2:]):
            term = np.tensordot(g[:, mine], w[(mine, slice(None), *place)], ([1], [0]))
            at = [slice(p * d, p * d + (m - 1) * s + 1, s) for p, (m, s, _, d) in zip(place, along, strict=True)]
            if g.size:
                out[(slice(None), own, *at)] += np.moveaxis(term, -1, 1)
    return out
