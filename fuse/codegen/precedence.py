"""Which units of a plan must run before which: a growing order, asked for each node that joins a unit."""

from __future__ import annotations


class Precedence:
    """Units by number. What is behind a unit is a set of bits, so that asking takes no walk."""

    def __init__(self) -> None:
        self._before: list[int] = []  # for each unit the set of units it needs, as bits, transitively
        self._needed_by: list[set[int]] = []  # the units that need each: enough of them that all others follow
        self._needs: list[set[int]] = []  # the same the other way round

    def add(self) -> int:
        """The number of a new unit."""
        self._before.append(0)
        self._needed_by.append(set())
        self._needs.append(set())
        return len(self._before) - 1

    def is_after(self, unit: int, other: int) -> bool:
        """Whether ``unit`` needs ``other``, by itself or through others."""
        return bool(self._before[unit] >> other & 1)

    def is_direct(self, unit: int, other: int) -> bool:
        """Whether ``unit``, which needs ``other``, needs it only through values read directly, with no unit between."""
        needed = self._before[unit]
        return not any(needed >> between & 1 for between in self._needed_by[other])

    def depend(self, unit: int, on: int) -> None:
        """Note that ``unit`` runs after ``on``; keep the transitive sets of everything behind it."""
        if unit == on or self.is_after(unit, on):
            return
        self._needed_by[on].add(unit)
        self._needs[unit].add(on)
        add = self._before[on] | 1 << on
        stack = [unit]
        while stack:
            u = stack.pop()
            if self._before[u] | add != self._before[u]:
                self._before[u] |= add
                stack.extend(self._needed_by[u])

    def merge(self, unit: int, other: int) -> None:
        """``unit`` takes in ``other``: it needs what either needed, and whoever needed the other needs it now."""
        for needed in list(self._needs[other]):
            self.depend(unit, needed)
        for reader in list(self._needed_by[other]):
            if reader != unit:
                self.depend(reader, unit)


def in_order(needs: dict[int, set[int]]) -> list[int]:
    """The units of ``needs`` (unit: units that it needs), each after those; the order of numbers decides the rest."""
    done: list[int] = []
    state: dict[int, int] = {}
    for root in sorted(needs):
        todo = [root]
        while todo:
            u = todo[-1]
            if state.get(u) == 2:
                todo.pop()
                continue
            waiting = [d for d in sorted(needs.get(u, ())) if state.get(d) != 2]
            if waiting and state.get(u) != 1:
                state[u] = 1
                todo.extend(waiting)
            elif waiting:
                raise AssertionError("fusion made a cycle of kernels")
            else:
                state[u] = 2
                done.append(u)
                todo.pop()
    return done
