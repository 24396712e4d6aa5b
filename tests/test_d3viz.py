"""Pages and pictures of graphs: all is in one file, names are only text, and boxes are where they should be."""

from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from xml.dom import minidom

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.d3viz import d3viz
from fuse.printing.drawing import drawing, graph_boxes
from fuse.printing.layout import layout

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x00\ud800"


class Page(HTMLParser):
    """The tags of a page with their attributes, its texts, and whether tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_of(obj, folder):
    path = folder / "in" / "a folder" / "graph.html"
    assert d3viz(obj, path, copy_deps=True) is None
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.open and os.listdir(path.parent) == ["graph.html"]
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [a for _, attrs in page.tags for a in attrs if a == "src" or a.startswith("on")]
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert links <= {"#"} | {f"#{attrs['id']}" for tag, attrs in page.tags if tag == "section" and "id" in attrs}
    return page


def trained():
    x, s = T.dmatrix("x"), T.dvector("s")
    w, rate = fuse.shared(np.ones((5, 3)), "w"), fuse.shared(0.5, "rate")
    cost = (T.nnet.sigmoid(T.dot(x, w)) ** 2).sum()
    states, _ = fuse.scan(lambda u, h: T.tanh(rate * h + u), sequences=s, outputs_info=T.constant(0.0))
    return [x, s], [cost, T.sort(s), states[-1]], [(w, w - 0.1 * fuse.grad(cost, w))]


def test_a_function_shows_its_steps_and_opens_its_kernels(tmp_path):
    inputs, outputs, updates = trained()
    page = page_of(fuse.function(inputs, outputs, updates=updates, name="train"), tmp_path)
    for text in ("The function train", "kernel 0", "sort", "dot", "loop", "One step of a loop", "new value of w",
                 "output 2", "def kernel(", "float64 matrix", "test_d3viz.py", "Rules that fired", "def program("):
        assert text in page.text
    assert sum(tag == "section" for tag, _ in page.tags) >= 3  # of the whole, a kernel, the loop


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "DebugMode"])
def test_functions_of_other_modes_are_shown(mode, tmp_path):
    x = T.dvector("x")
    assert "exp" in page_of(fuse.function([x], T.exp(x).sum(), mode=mode), tmp_path).text


def test_formulas_open_to_what_is_inside(tmp_path):
    _, outputs, _ = trained()
    x = T.dscalar("x")
    own = fuse.OpFromGraph([x], [T.cosh(x)], grad_overrides=lambda inputs, gs: [gs[0]], name="mine")
    page = page_of([*outputs, own(x), T.constant(1.0), x], tmp_path)
    assert "One step of a loop" in page.text and "Inside mine" in page.text and "cosh" in page.text
    assert "next state 0" in page.text


def test_names_are_only_text(tmp_path):
    x = T.dvector(HOSTILE)
    y = T.exp(x)
    y.name = HOSTILE
    for obj in (y, fuse.function([x], y * 2, name=HOSTILE)):
        page = page_of(obj, tmp_path)
        assert "<script>alert(1)</script>" in page.text and "\x00" not in page.text
    picture = minidom.parseString(drawing([y]))
    assert not picture.getElementsByTagName("script")


def test_large_graphs_are_cut_and_say_so(tmp_path):
    x = T.dscalar("x")
    y = x
    for k in range(3000):
        y = T.sin(y) + k
    assert "more nodes" in page_of(y, tmp_path).text
    assert "kernel 0" in page_of(fuse.function([x], y), tmp_path).text


def test_boxes_do_not_overlap_and_edges_point_down():
    draws = np.random.default_rng(0)
    sizes = [(float(w), float(h)) for w, h in draws.integers(20, 120, (60, 2))]
    edges = [(int(a), b) for b in range(1, 60) for a in draws.integers(0, b, 2)]
    placed = layout(sizes, edges)
    corners = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
               for (x, y), (w, h) in zip(placed.centres, sizes, strict=True)]
    for i, a in enumerate(corners):
        assert a[0] >= -1e-9 and a[1] >= -1e-9 and a[2] <= placed.width + 1e-9 and a[3] <= placed.height + 1e-9
        for b in corners[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for (a, b), path in zip(edges, placed.edges, strict=True):
        assert path[0][1] == corners[a][3] < path[-1][1] == corners[b][1]
        assert path[0][0] == placed.centres[a][0] and path[-1][0] == placed.centres[b][0]


def test_an_empty_drawing_and_one_box():
    assert layout([], []).height == 0 and layout([(10, 10)], []).centres == [(5, 5)]
    boxes, edges = graph_boxes([T.constant(2.0)], labels=["result"])
    assert [b.kind for b in boxes] == ["output", "constant"] and edges == [(1, 0, "")]


def test_pydotprint_draws_svg_without_graphviz(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    x = T.dvector("x")
    path = tmp_path / "g.svg"
    fuse.printing.pydotprint(T.exp(x), path)
    drawn = minidom.parse(str(path))
    assert {t.firstChild.data for t in drawn.getElementsByTagName("text")} >= {"x", "exp", "result"}
    with pytest.raises(ImportError, match=r"g\.svg"):
        fuse.printing.pydotprint(fuse.function([x], T.exp(x)), tmp_path / "g.png")
    image = fuse.printing.pydotprint(T.exp(x), format="svg", return_image=True)
    assert image._repr_svg_().startswith("<svg")
