"""Theano's ``tests``: the tools that programs test their own ops with."""
