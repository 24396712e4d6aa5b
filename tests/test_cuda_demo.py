"""The demonstration on a GPU, in the simulator: the same weights as in NumPy, from fewer images."""
from __future__ import annotations

from fuse.codegen import device

device.simulate()


def test_the_demonstration_trains_on_a_gpu(capsys):
    from fuse import demo

    with device.counted() as seen:
        assert demo.run("cuda", epochs=1) == 0
    printed = capsys.readouterr().out
    assert "8 to train on" in printed and "@device" in printed and "simulator" in printed
    assert printed.count("no weight is further than") == 2 and seen()["launches"] > 20
