"""Copies that overlap with launches, on streams that do what they are given as late, or as early, as events allow."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import cuda_array, cuda_replay, cuda_transfers, device

device.simulate()


class Event:
    waits = True

    def __init__(self, on):
        self.on, self.at = on, (0, 0)

    def record(self, stream):
        self.at = stream, len(self.on.queues[stream])

    def wait(self, stream):
        if self.waits:
            self.on.put(stream, lambda at=self.at: self.on.force(*at))

    def synchronize(self):
        if self.waits:
            self.on.force(*self.at)


class Streams(device.StreamingDevice, device.SimulatedDevice):
    """Launches are on stream 0 and run when somebody waits for them; ``eager``: what stream 1 has is done at once."""

    def __init__(self, eager):
        super().__init__()
        self.eager, self.queues, self.done = eager, ([], []), [0, 0]

    def put(self, stream, action):
        self.queues[stream].append(action)
        if stream and self.eager:
            self.force(stream, len(self.queues[stream]))

    def force(self, stream, end):
        while self.done[stream] < end:
            self.done[stream] += 1
            self.queues[stream][self.done[stream] - 1]()

    def launch(self, kernel, blocks, threads, arguments):
        run = super().launch
        self.put(0, lambda: run(kernel, blocks, threads, arguments))

    def copy(self, target, source):
        self.put(0, lambda: target.__setitem__(..., source))

    def clear(self, target):
        self.put(0, lambda: target.view(np.uint8).__setitem__(..., 0))

    def write(self, target, array):
        self.send(target, array.copy(), 0)

    def read(self, source, target=None):
        self.force(0, len(self.queues[0]))
        return super().read(source, target)

    def wait(self):
        self.force(0, len(self.queues[0]))

    def side_stream(self):
        return 1

    def event(self):
        return Event(self)

    def pinned(self, size):
        return np.full(size, 0xA5, np.uint8)

    def send(self, target, array, stream):
        self.put(stream, lambda: target.__setitem__(..., array))

    def fetch(self, source, array, stream):
        self.put(stream, lambda: array.__setitem__(..., source))


@pytest.fixture
def small(monkeypatch):
    for module in (cuda_array, cuda_transfers):
        monkeypatch.setattr(module, "LARGE", 64)
        monkeypatch.setattr(module, "SMALL", 63)
    monkeypatch.setattr(cuda_transfers, "STAGE", 40)


def train(eager):
    """Calls that nobody waits for, whose inputs are written over at once; what comes of them, and what should."""
    x, y, total = T.dvector("x"), T.dvector("y"), fuse.shared(np.zeros(13))
    given, got, want = np.empty(13), [], []
    with device.working_on(Streams(eager)) as on:
        f = fuse.function([x, y], [x * 2 + y, x - y.sum()], updates=[(total, total + x)], device="cuda")
        for k in range(5):
            given[:] = np.arange(13.0) * (k + 1)
            other = given[::-1] + k
            want += [given * 2 + other, given - other.sum()]
            found = f.on_device(given, other)
            given[:] = other[:] = -1
            got += found if k % 2 else [found[0].get(), found[1]]
        got = [np.asarray(a) for a in got]
        assert on.transfers is not None and on.transfers.marks
        return [*got, total.get_value()], [*want, np.arange(13.0) * 15]


@pytest.mark.parametrize("eager", [False, True])
def test_copies_and_launches_wait_for_each_other_where_they_must(eager, small, monkeypatch):
    assert all(np.array_equal(a, b) for a, b in zip(*train(eager), strict=True))
    monkeypatch.setattr(Event, "waits", False)
    assert not all(np.array_equal(a, b) for a, b in zip(*train(eager), strict=True))  # it is the events that do it


def test_a_copy_waits_for_no_more_launches_than_use_its_block(small):
    x = T.dvector("x")
    with device.working_on(Streams(eager=True)) as on:
        f = fuse.function([x], x + 1, device="cuda")
        results = [f.on_device(np.full(13, float(k)))[0] if k else f.on_device(np.zeros(13))[0] for k in range(6)]
        assert on.done[0] < len(on.queues[0])  # copies have passed, launches before them have not run
        for k, found in enumerate(results):
            np.testing.assert_array_equal(found.get(), np.full(13, k + 1.0))


@pytest.mark.parametrize("waits", [True, False])
def test_small_arrays_are_copied_together_and_their_stages_wait(waits, monkeypatch):
    monkeypatch.setattr(cuda_transfers, "NEAR", 1024)  # two arrays at once fill half of a stage
    monkeypatch.setattr(Event, "waits", waits)
    x, y, total = T.dvector("x"), T.fmatrix("y"), fuse.shared(np.zeros(5))
    a, b = np.empty(5), np.empty((4, 3), "f4").T
    with device.working_on(Streams(eager=False)):
        f = fuse.function([x, y], [x.sum(), y * 2, x - 1], updates=[(total, total + x)], device="cuda")
        for k in range(9):
            a[:], b[:] = k, k + 1
            results = f.on_device(a, b) if k < 8 else f(a, b)
            a[:] = b[:] = -1  # may be written over at once
        right = np.array_equal(total.get_value(), np.full(5, 36.0))
        assert right is waits  # it is the events that do it
        if waits:
            for found, want in zip(results, [40.0, np.full((3, 4), 18, "f4"), np.full(5, 7.0)], strict=True):
                assert found.dtype == np.asarray(want).dtype
                np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("waits", [True, False])
def test_calls_that_are_replayed_wait_for_their_results(waits, monkeypatch):
    monkeypatch.setattr(cuda_transfers, "NEAR", 2048)
    monkeypatch.setattr(Event, "waits", waits)  # the stream itself is waited for
    x, y = T.dvector("x"), T.dvector("y")
    with device.working_on(Streams(eager=False)):
        f = fuse.function([x, y], [x * 2 + y, (x * y).sum()], device="cuda")
        for k in range(7):
            a, b = np.arange(9.0) + k, np.full(9, float(k))
            first, second = f(a, b)
            np.testing.assert_array_equal(first, a * 2 + b)
            assert second == (a * b).sum()
        assert [type(found) for found in f.fn.replays.seen.values()] == [cuda_replay.Replay]


def test_a_single_array_that_fits_into_no_stage_is_copied_by_itself(monkeypatch):
    monkeypatch.setattr(cuda_transfers, "NEAR", 512)
    monkeypatch.setattr(cuda_array, "SMALL", 256)
    x = T.dvector("x")
    with device.working_on(Streams(eager=False)):
        f = fuse.function([x], x + 1, device="cuda")
        for n in (0, 3, 32, 33, 100):
            np.testing.assert_array_equal(f(np.arange(float(n))), np.arange(n) + 1.0)


def test_devices_without_streams_copy_as_they_can(small):
    x = T.dvector("x")
    assert device.current().transfers is None
    a = np.arange(20.0)
    np.testing.assert_array_equal(fuse.function([x], x + 1, device="cuda")(a), a + 1)
