"""PyTensor's ``tensor.rewriting``: rewrites by name, which are fuse's rules here."""
