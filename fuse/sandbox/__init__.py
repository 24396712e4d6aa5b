"""Theano's ``sandbox``: old homes of names that programs still import."""
