"""Theano's ``configparser``: ``change_flags``."""
from fuse.config import config

change_flags = config.change_flags
