"""Graphs as web pages of one file: ``d3viz`` draws what a function runs, or a formula; kernels open to their code."""
from fuse.d3viz.page import d3viz as d3viz
from fuse.d3viz.page import d3write as d3write

__all__ = ["d3viz", "d3write"]
