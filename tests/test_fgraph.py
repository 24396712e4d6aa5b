"""FunctionGraph: its changes, who reads what in it, and who watches it."""
from __future__ import annotations

import pytest

import fuse
import fuse.tensor as T
from fuse.errors import FuseTypeError, FuseValueError, MissingInputError
from fuse.gof import graph as walks
from fuse.gof import toolbox
from fuse.graph.fg import Output

x, y = T.dvectors("x", "y")


class Double(fuse.gof.Type):
    def filter(self, value, strict=False, allow_downcast=None):
        return float(value)

    def __eq__(self, other):
        return type(other) is Double

    __hash__ = object.__hash__


class Named(fuse.Op):
    __props__ = ("name",)

    def __init__(self, name):
        self.name = name

    def make_node(self, a, b):
        return fuse.Apply(self, [a, b], [Double()()])

    def __str__(self):
        return self.name


def test_who_reads_a_variable():
    graph = fuse.FunctionGraph([x, y], [T.exp(x), T.exp(x) * y])
    exp, mul = T.exp(x).owner, (T.exp(x) * y).owner
    assert graph.get_clients(x) == [(exp, 0)]
    assert graph.clients(y) == graph.clients[y] == [(mul, 1)]
    (reader, place), (output, number) = graph.get_clients(T.exp(x))
    assert (reader, place, output, number) == (mul, 0, "output", 0)
    assert output.op == Output(0)
    assert x in graph and exp in graph and T.sin(x) not in graph


def test_an_output_is_changed_like_an_input():
    told = []

    class Watch(toolbox.Feature):
        def on_change_input(self, fgraph, node, i, r, new_r, reason=None):
            told.append((node, i, r, new_r, reason))

        def on_import(self, fgraph, node, reason):
            told.append(node)

    graph = fuse.FunctionGraph([x], [T.exp(x), T.sin(x)], features=[Watch()])
    told.clear()
    graph.change_input("output", 1, T.cos(x), "why")
    assert graph.outputs == [T.exp(x), T.cos(x)]
    assert told == [T.cos(x).owner, ("output", 1, T.sin(x), T.cos(x), "why")]
    [(client, _)] = graph.get_clients(T.cos(x))
    graph.change_node_input(client, 0, T.tan(x))
    assert graph.outputs == [T.exp(x), T.tan(x)]
    with pytest.raises(MissingInputError, match="would read y"):
        graph.change_input("output", 0, x + y)
    graph.change_input("output", 0, x + y, import_missing=True)
    assert graph.inputs == [x, y]


def test_inputs_are_checked_and_found():
    with pytest.raises(MissingInputError, match="y, which is none of its inputs"):
        fuse.FunctionGraph([x], [x + y])
    with pytest.raises(FuseValueError, match="already existing node"):
        fuse.FunctionGraph([x + 1], [x + y])
    with pytest.raises(FuseValueError, match="No outputs"):
        fuse.FunctionGraph([x])
    assert fuse.FunctionGraph(outputs=[x + y]).inputs == [x, y]
    memo = {}
    graph = fuse.FunctionGraph([x], [T.exp(x)], clone=True, memo=memo)
    assert graph.inputs == [memo[x]] != [x]
    assert graph.outputs == [memo[T.exp(x)]] == [T.exp(memo[x])]


def test_replacements_that_do_not_fit_are_undone():
    graph = fuse.FunctionGraph([x], [T.exp(T.sin(x))])
    with pytest.raises(FuseTypeError):
        graph.replace_all_validate([(T.sin(x), T.cos(x)), (x, T.fvector("f"))])
    with pytest.raises(MissingInputError):
        graph.replace(x, y)
    assert graph.outputs == [T.exp(T.sin(x))]
    graph.replace(x, y, import_missing=True)
    assert graph.inputs == [x, y]
    with pytest.raises(toolbox.ReplacementDidntRemovedError):
        graph.replace_all_validate_remove([(T.sin(y), T.cos(y))], remove=[y])
    graph.change_node_input(T.exp(T.sin(y)).owner, 0, T.sqr(y))
    assert graph.outputs == [T.exp(T.sqr(y))]


def test_parts_come_and_go():
    graph = fuse.FunctionGraph([x, y], [T.exp(x), T.sin(y) + x])
    graph.import_var(T.cos(x))
    assert T.cos(x) in graph
    graph.add_output(x * y)
    graph.remove_node(T.sin(y).owner)
    graph.remove_output(0)
    assert graph.outputs == [x * y]
    copy, equal = graph.clone_get_equiv()
    assert copy.outputs == [equal[x] * equal[y]]
    graph.remove_input(1)
    assert (graph.inputs, graph.outputs) == ([x], [])


def test_features_are_told_and_may_refuse():
    told = []

    class Watch(toolbox.Feature):
        def on_import(self, fgraph, node, reason):
            told.append(("came", node.op, reason))

        def on_prune(self, fgraph, node, reason):
            told.append(("went", node.op, reason))

        def validate(self, fgraph):
            if any(node.op == T.tan for node in fgraph.toposort()):
                raise toolbox.InconsistencyError("no tangents")

    graph = fuse.FunctionGraph([x], [T.exp(T.sin(x))], features=[watch := Watch()])
    graph.replace_validate(T.sin(x), T.cos(x), reason="why")
    assert [(w, str(op), r) for w, op, r in told] == [
        ("came", "cos", "why"), ("came", "exp", "why"), ("went", "exp", "why"), ("went", "sin", "why")
    ]
    with pytest.raises(toolbox.InconsistencyError):
        graph.replace_validate(T.cos(x), T.tan(x))
    assert graph.outputs == [T.exp(T.cos(x))]
    graph.remove_feature(watch)
    graph.replace(T.cos(x), T.tan(x))
    assert not [op for _, op, _ in told if str(op) == "nothing"]


def test_graphs_of_a_users_own_types():
    a, b = Double()("a"), Double()("b")
    mul, div = Named("mul"), Named("div")
    graph = fuse.FunctionGraph([a, b], [div(mul(a, b), b)])
    assert str(graph) == "[div(mul(a, b), b)]"

    @fuse.gof.local_optimizer([div])
    def simpler(node):
        inner = node.inputs[0].owner
        return [inner.inputs[0]] if node.op == div and inner and inner.op == mul else None

    fuse.gof.TopoOptimizer(simpler).optimize(graph)
    assert graph.outputs == [a]


def test_walks():
    z = T.exp(x) + y
    both, left = walks.variables_and_orphans([x], [z])
    assert (both[0], both[-1], left) == (x, z, [y])
    assert walks.list_of_nodes([x, y], [z]) == [z.owner, T.exp(x).owner]
    assert walks.op_as_string([x, y], z.owner) == "add(exp(x), y)"
    equal = walks.clone_get_equiv([x], [z])
    assert equal[z] == T.exp(equal[x]) + y
