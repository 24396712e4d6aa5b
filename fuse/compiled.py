"""function: from expressions to a callable."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from fuse.codegen.vectorcall import Pointed
from fuse.config import config
from fuse.errors import DTypeError, FuseError, FuseTypeError, ShapeError, brief
from fuse.expr import Expr, leaves, substitute
from fuse.flat import pack, unpack
from fuse.forks import cached_property
from fuse.inout import Out
from fuse.maker import (
    QUICKEN_AT,
    RESULTS,
    Containers,
    Maker,
    SharedCell,
    build_program,
    cell_of,
    checked_swap,
    copied_input,
    described,
    profile_of,
    python_signature,
    quicken,
    rewritten_signature,
    unique_names,
    with_checks,
    with_overwritten,
    with_states,
)
from fuse.mode import Mode, get_mode, on_device
from fuse.signature import In, Signature, signature


def function(
    inputs: Any,
    outputs: Any = None,
    mode: Any = None,
    updates: Any = None,
    givens: Any = None,
    no_default_updates: Any = False,
    accept_inplace: bool = False,
    name: str | None = None,
    rebuild_strict: bool = True,
    allow_input_downcast: bool | None = None,
    profile: Any = None,
    on_unused_input: str | None = None,
    trust_input: bool = False,
    device: str | None = None,
) -> Function:
    """Compile a callable that computes ``outputs`` from ``inputs``.

    * ``inputs``: a list of variables, ``In(variable, value=..., ...)`` or (variable, default);
    * ``outputs``: an expression, a list, a dict of them, or None (it returns []); results are fresh arrays (0-d);
    * ``updates``: new values of shared variables, stored after the outputs are computed: a dict or list of pairs;
    * ``givens``: replacements in the graph (of variables that are no inputs, shared ones, expressions), all at once;
    * ``no_default_updates``: True, or a list of shared variables (random streams) that the call does not advance;
    * ``mode``: a name or a Mode: 'FAST_RUN', 'FAST_COMPILE', 'strict', 'fast', 'DebugMode' (default: ``config.mode``);
    * ``allow_input_downcast``: cast values even where they lose precision;
    * ``on_unused_input``: 'raise', 'warn' or 'ignore'; ``profile=True`` times every step (``f.profile.summary()``);
    * ``rebuild_strict=False``: ``givens`` may have other types; ``accept_inplace``: ``T.inplace``'s ops change inputs.
    * ``device``: 'cpu', 'cuda' or 'auto' (default: ``config.device``): on a GPU shared variables stay in its memory,
      and results come back as NumPy arrays, unless an input was an array on the GPU.

    A call ``f(..., out=array)`` writes its result into ``array`` (a list or dict of arrays for several results), which
    may be one of the inputs. New results use memory of dropped ones (``config.recycle`` bytes at most, ``f.free()``).

    Raises MissingInputError, UnusedInputError, and FuseTypeError, DTypeError or ShapeError for what does not fit.

    >>> import numpy as np, fuse, fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> f = fuse.function([x, (y, 10.0)], {"sum": x + y, "product": x * y})
    >>> f(2.0)
    {'product': array(20.), 'sum': array(12.)}
    >>> float(f(2.0, y=3.0)["sum"])
    5.0
    >>> count = fuse.shared(0)
    >>> step = fuse.function([], count, updates=[(count, count + 1)])
    >>> int(step()), int(step()), int(count.get_value())
    (0, 1, 2)
    >>> v = T.dvector("v")
    >>> result = np.zeros(2)
    >>> function([v], 2 * v)([1.0, 2.0], out=result) is result, result
    (True, array([2., 4.]))
    """
    chosen = on_device(get_mode(mode), config.device if device is None else device)
    unused = config.on_unused_input if on_unused_input is None else on_unused_input
    with config.change_flags(compute_test_value="off"):
        graph = signature(
            inputs, outputs, updates, givens, no_default_updates, allow_input_downcast, unused, bool(rebuild_strict),
            bool(accept_inplace),
        )
        timed = config.profile if profile is None else profile
        return Function(rewritten_signature(graph, chosen), chosen, name, timed, trust_input)


class Function(Pointed):
    """A compiled function; made by ``fuse.function``.

    Called with values in the order of its inputs or by their names. ``f["name"]`` is the default (or state) of an input
    or the value of a shared variable, ``f.source`` the generated code, ``f.explain()`` what was done to the formula.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> total = fuse.shared(0.0, name="total")
    >>> f = fuse.function([x], x**2, updates=[(total, total + x)], name="square")
    >>> float(f(3.0)), float(f(x=4.0)), float(f["total"])
    (9.0, 16.0, 7.0)
    """

    outputs = property(lambda self: [Out(v) for v in self.maker.outputs])  # in Theano's order

    def __init__(
        self, graph: Signature, mode: Mode, name: str | None = None, profile: Any = None, trust_input: bool = False
    ) -> None:
        over = dict(graph.overwritten)
        mutable = [k for k, i in enumerate(graph.inputs) if i.mutable and i.update is None and k not in over]
        build = partial(build_program, graph.leaves, graph.computed, graph.updates, mode, mutable)
        self.profile = profile_of(profile, name) if profile else None
        self.fn = self.profile.making(build) if self.profile is not None else build()
        self.maker = Maker(graph, mode, self.fn)
        self.name = name
        self.trust_input = trust_input
        self.input_storage = [cell_of(i) for i in graph.inputs]
        self._count = len(graph.inputs)
        self._names = unique_names(graph.inputs)
        self._run = self._prepared()
        self._wait, self._waited = QUICKEN_AT, False

    # ---------------------------------------------------------------- calls
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._wait:
            self._wait -= 1
            if not self._wait and type(self) is Function:  # a subclass may have a call of its own
                self._wait, self._waited = quicken(self, Function, self._waited), True
        return self._call(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != self._count:
            if "out" in kwargs and "out" not in self._names:
                return self._into(kwargs.pop("out"), args, kwargs)
            if "output_subset" in kwargs and "output_subset" not in self._names:
                return self._subset(kwargs.pop("output_subset"), args, kwargs)
            args = tuple(self._bound(args, kwargs))
        try:
            return self._run(*args)
        except (DTypeError, ShapeError) as error:
            raise brief(self._explained(error, args)) from None
        except FuseError as error:
            raise brief(error) from error.__cause__

    def _prepared(self, run: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """The one callable behind a call with every input given; ``run`` stands in for the program."""
        graph = self.maker.signature
        run = run or self.fn
        if graph.overwritten:
            run = with_overwritten(run, graph)
        checked = [(i, x) for i, x in enumerate(graph.inputs) if x.strict or x.allow_downcast is not None]
        if checked and not self.trust_input:
            run = with_checks(run, checked)
        cells = [c for c, x in zip(self.input_storage, graph.inputs, strict=True) if x.update is not None]
        if cells:
            run = with_states(run, cells)
        if self.profile is not None:
            run = self.profile.around(run)
        return RESULTS[graph.shape](run, graph.keys)

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The values in order, from positions, names and defaults."""
        graph = self.maker.signature
        if len(args) > self._count:
            listed = ", ".join(str(i.name) for i in graph.inputs)
            raise FuseTypeError(f"{self._title()} takes {self._count} inputs ({listed}), not {len(args)}")
        values = list(args) + [cell.lent() for cell in self.input_storage[len(args) :]]
        for key, value in kwargs.items():
            index = self._names.get(key)
            if index is None:
                known = ", ".join(self._names) or "none"
                raise FuseTypeError(f"{self._title()} has no input called {key!r}; its named inputs are: {known}")
            if index < 0:
                raise FuseTypeError(f"{self._title()} has several inputs called {key!r}: give them by position")
            if index < len(args):
                raise FuseTypeError(f"{self._title()} got two values for the input {key!r}")
            values[index] = value
        for i, value in enumerate(values):
            if value is None:
                item = graph.inputs[i]
                wanted = f"input {i} ({item.name})" if item.name else f"input {i}"
                raise FuseTypeError(f"{self._title()} needs a value for {wanted}, a {item.type.describe()}")
        return values

    def _explained(self, error: FuseError, args: Sequence[Any]) -> FuseError:
        """``error`` told in terms of the input that caused it, where one did and that is not told yet."""
        args = () if error.told else args
        for i, (item, value) in enumerate(zip(self.maker.inputs, args, strict=False)):
            try:
                item.filter(value)
            except FuseError as cause:
                label = f"input {i} ({item.name})" if item.name else f"input {i}"
                return type(cause)(
                    f"{label} of {self._title()}: {cause}\n  got {described(value)}, wants a {item.type.describe()}"
                )
        return error

    def _into(self, out: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A call whose results are written into the arrays ``out``."""
        from fuse.codegen import given

        if out is None:
            return self._call(*args, **kwargs)
        graph = self.maker.signature
        arrays = given.listed(out, graph.shape, graph.keys, [o.type for o in graph.outputs], self._title())
        values = self._bound(args, kwargs)
        try:
            return self._prepared(given.into(self.fn, arrays))(*values)
        except (DTypeError, ShapeError) as error:
            raise self._explained(error, values) from None

    def _subset(self, wanted: Sequence[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Theano's ``output_subset``: some outputs, by position or key; the others are computed all the same."""
        results = self(*args, **kwargs)
        if self.maker.signature.shape == "single":
            results = [results]
        return [results[i] for i in wanted]

    def on_device(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The results of a call as a list of arrays in the GPU's memory; FuseTypeError for a function of the CPU."""
        if self.maker.mode.device == "cpu":
            raise FuseTypeError(f"{self._title()} computes on the CPU: compile it with device='cuda'")
        return list(self.fn.launched(self._bound(args, kwargs)))

    def _title(self) -> str:
        return f"the function {self.name!r}" if self.name else "the function"

    # ---------------------------------------------------------------- values
    def __getitem__(self, item: Any) -> Any:
        return self._cell(item).value

    def __setitem__(self, item: Any, value: Any) -> None:
        self._cell(item).value = value

    @property
    def container(self) -> Containers:
        """The cells of inputs and shared variables; ``In(x, value=f.container[x])`` shares one between functions.

        >>> import fuse, fuse.tensor as T
        >>> x, s = T.dscalars("x", "s")
        >>> up = fuse.function([x, fuse.In(s, value=10.0, update=s + x)], [])
        >>> down = fuse.function([x, fuse.In(s, value=up.container[s], update=s - x)], [])
        >>> up(5.0), down(1.0), float(up[s])
        ([], [], 14.0)
        """
        return Containers(self.input_storage, self._cell, values=False)

    @property
    def value(self) -> Containers:
        """What the cells of ``container`` hold."""
        return Containers(self.input_storage, self._cell, values=True)

    def _cell(self, item: Any) -> Any:
        if isinstance(item, str):
            shared = [s for s in self.get_shared() if s.name == item]
            index = self._names.get(item)
            if index is not None and index >= 0:
                return self.input_storage[index]
            if index is None and len(shared) == 1:
                return SharedCell(shared[0])
        elif isinstance(item, Expr):
            for cell, known in zip(self.input_storage, self.maker.inputs, strict=True):
                if known.variable is item:
                    return cell
            if item in self.get_shared():
                return SharedCell(item)
        raise KeyError(f"{self._title()} has no input or shared variable {item!r}, or several of that name")

    def __contains__(self, item: Any) -> bool:
        try:
            self._cell(item)
        except KeyError:
            return False
        return True

    def get_shared(self) -> list[Any]:
        """The shared variables that the function reads or updates."""
        graph = self.maker.signature
        read = [n for n in leaves(graph.roots) if n.op.name == "shared"]
        return list(dict.fromkeys([*read, *[t for t, _ in graph.updates]]))

    # ---------------------------------------------------------------- looking inside
    @property
    def source(self) -> str:
        """The Python text that was generated for this function."""
        return str(self.fn.source)

    def explain(self) -> str:
        """The rules that fired, the kernels, and why they are separate."""
        return str(self.fn.explain())

    @property
    def __signature__(self) -> inspect.Signature:
        return python_signature(self.maker.signature, self._names, self.input_storage)

    def __repr__(self) -> str:
        graph = self.maker.signature
        ins = ", ".join(f"{i.name}: {i.type.describe()}" if i.name else i.type.describe() for i in graph.inputs)
        outs = ", ".join(o.type.describe() for o in graph.outputs)
        if graph.shape == "dict":
            pairs = zip(graph.keys or (), graph.outputs, strict=True)
            outs = "{" + ", ".join(f"{k}: {o.type.describe()}" for k, o in pairs) + "}"
        elif graph.shape != "single":
            outs = f"[{outs}]" if graph.shape == "list" else "None"
        return f"<fuse.Function {self.name + ' ' if self.name else ''}({ins}) -> {outs}>"

    def _repr_html_(self) -> str:
        """For notebooks: what it takes and gives, and its source, which opens."""
        from html import escape

        return (
            f"<code>{escape(repr(self), quote=False)}</code><details><summary>source</summary>"
            f'<pre style="font-size: 85%">{escape(self.source, quote=False)}</pre></details>'
        )

    # ---------------------------------------------------------------- copies
    def copy(
        self, share_memory: bool = False, swap: Any = None, delete_updates: bool = False, name: str | None = None,
        profile: Any = None,
    ) -> Function:
        """The same function again: with shared variables exchanged (``swap``: old -> new), or without its updates."""
        values = [
            c.value if i.update is None or c.value is None else i.type.copied(c.value)
            for i, c in zip(self.maker.inputs, self.input_storage, strict=True)
        ]
        return self._copied(swap, delete_updates, name, profile, values)

    def _copied(
        self, swap: Any, delete_updates: bool, name: str | None, profile: Any, values: Sequence[Any]
    ) -> Function:
        """A copy whose inputs have these values, or these cells."""
        graph = self.maker.signature
        exchange = checked_swap(swap, self.get_shared())
        updates = () if delete_updates else graph.updates
        roots = substitute([*graph.computed, *[v for _, v in updates]], exchange)
        count, end = len(graph.outputs), len(graph.computed)
        fresh = iter(roots[count : count + len(graph.states)])
        ins = tuple([copied_input(i, value, fresh) for i, value in zip(graph.inputs, values, strict=True)])
        targets = [exchange.get(t, t) for t, _ in updates]
        pairs = tuple(zip(targets, roots[end:], strict=True))
        over = tuple(zip(dict(graph.overwritten), roots[end - len(graph.overwritten) : end], strict=True))
        again = Signature(ins, graph.leaves, tuple(roots[:count]), graph.keys, graph.shape, pairs, over)
        return Function(again, self.maker.mode, name or self.name, profile, self.trust_input)

    def __copy__(self) -> Function:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Function:
        swap = {s: deepcopy(s, memo) for s in self.get_shared()}
        return self._copied(swap, False, None, None, [deepcopy(c, memo) for c in self.input_storage])

    def free(self) -> None:
        """Give back the memory that is kept between calls for results to come (see ``config.recycle``)."""
        getattr(self.fn, "free", lambda: None)()

    # ---------------------------------------------------------------- in files, in other programs
    def save(self, path: Any) -> None:
        """Write the function, with the values of its shared variables, to a file that ``fuse.load`` reads.

        The file holds data only, no pickle: it is safe to load from anywhere. Raises FuseTypeError where an op is
        not fuse's own (a class, ``as_op``, ``@elementwise`` of the user's): such functions can be pickled.
        """
        from fuse.saving import save

        save(self, path)

    def export_source(self, path: Any = None) -> str:
        """The function as a file of Python that needs NumPy and Numba only; written to ``path`` where one is given.

        The file has a ``function`` that is called as this one is, and ``shared``, a dict with the values of shared
        variables. Its results are the same, but that sums may differ by rounding. Run-time sizes of 1 broadcast only
        where types say so. Linear algebra calls NumPy (and SciPy for triangular systems). Raises FuseTypeError for
        ops without a form of their own there.
        """
        from fuse.exporting import export_source

        return export_source(self, path)

    @cached_property
    def njit(self) -> Any:
        """The bare function for Numba: to be called in the user's own ``@njit`` code, with arrays and numbers.

        Its arguments are the inputs, then the shared variables' values (in the order of ``get_shared()``), which
        compiled code cannot look up; several results are a tuple, scalars are numbers. It takes kernels, views and
        products of matrices: other ops, and updates, raise FuseTypeError. Sizes of 1 are as in ``export_source``.

        >>> import fuse, numba, numpy as np, fuse.tensor as T
        >>> x = T.dvector("x")
        >>> step = fuse.function([x], x - 0.1 * fuse.grad((x**4).sum(), x)).njit
        >>> @numba.njit
        ... def descend(x, n):
        ...     for _ in range(n):
        ...         x = step(x)
        ...     return x
        >>> descend(np.array([1.0, 0.5]), 2).round(6)
        array([0.5136 , 0.41355])
        """
        from fuse.exporting import native

        return native(self)

    def __reduce__(self) -> Any:
        graph = self.maker.signature
        has_update = [i.update is not None for i in graph.inputs]
        roots = [*graph.leaves, *[i.variable for i in graph.inputs], *[t for t, _ in graph.updates], *graph.roots]
        cells = zip(graph.inputs, self.input_storage, strict=True)
        options = [(i.name, c, i.strict, i.allow_downcast, i.mutable) for i, c in cells]
        state = {
            "graph": pack(roots), "options": options, "has_update": has_update, "outputs": len(graph.outputs),
            "updates": len(graph.updates), "overwritten": list(dict(graph.overwritten)), "keys": graph.keys,
            "shape": graph.shape, "mode": self.maker.mode,
            "name": self.name, "profile": self.profile is not None, "trust_input": self.trust_input,
        }
        return _restored, (state,)


def _restored(state: Mapping[str, Any]) -> Function:
    """The function of a pickle: its graph as it was, compiled again (from the kernel cache, as a rule)."""
    nodes = iter(unpack(state["graph"]))

    def take(count: int) -> list[Expr]:
        return [next(nodes) for _ in range(count)]

    count = len(state["options"])
    leaf_nodes, variables, targets = take(count), take(count), take(state["updates"])
    outputs = take(state["outputs"])
    states = [next(nodes) if has else None for has in state["has_update"]]
    places = state.get("overwritten", ())
    over = tuple(zip(places, take(len(places)), strict=True))
    pairs = tuple(zip(targets, take(state["updates"]), strict=True))
    ins = tuple(
        In(v, name=name, value=value, update=update, mutable=mutable, strict=strict, allow_downcast=downcast)
        for v, update, (name, value, strict, downcast, mutable) in zip(variables, states, state["options"], strict=True)
    )
    graph = Signature(ins, tuple(leaf_nodes), tuple(outputs), state["keys"], state["shape"], pairs, over)
    return Function(graph, state["mode"], state["name"], state["profile"], state["trust_input"])
