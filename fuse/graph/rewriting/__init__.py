"""PyTensor's ``graph.rewriting``: what Theano has in ``gof.opt``."""
