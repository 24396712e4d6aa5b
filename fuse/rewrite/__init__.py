"""Rewriting: patterns and rules as data, matching in every spelling, and the one driver with its trace."""

from fuse.rewrite.context import Context as Context
from fuse.rewrite.context import Fired as Fired
from fuse.rewrite.driver import rewrite as rewrite
from fuse.rewrite.pattern import CHANGES as CHANGES
from fuse.rewrite.pattern import MODES as MODES
from fuse.rewrite.pattern import Param as Param
from fuse.rewrite.pattern import Procedure as Procedure
from fuse.rewrite.pattern import Rule as Rule
from fuse.rewrite.pattern import call as call
from fuse.rewrite.pattern import head as head
from fuse.rewrite.pattern import heads as heads
from fuse.rewrite.pattern import minus as minus
from fuse.rewrite.pattern import ordered as ordered
from fuse.rewrite.pattern import procedure as procedure
from fuse.rewrite.pattern import uniform as uniform
from fuse.rewrite.pattern import wildcards as wildcards
from fuse.rewrite.ruleset import RuleSet as RuleSet
