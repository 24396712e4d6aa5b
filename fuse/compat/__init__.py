"""Theano's ``compat``: what its programs import from there is in Python itself."""
