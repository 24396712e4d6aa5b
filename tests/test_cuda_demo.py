"""The demonstration on a GPU, in the simulator: the same weights as in NumPy, from fewer images."""
from __future__ import annotations

import pytest

from fuse.codegen import device

device.simulate()


def test_the_demonstration_trains_on_a_gpu(capsys):
    from fuse import demo

    with device.counted() as seen:
        assert demo.run("cuda", epochs=1) == 0
    printed = capsys.readouterr().out
    assert "8 to train on" in printed and "@device" in printed and "simulator" in printed
    assert printed.count("no weight is further than") == 2 and seen()["launches"] > 20


@pytest.mark.parametrize(("accuracy", "status"), [(0.96, 0), (0.5, 1)])
def test_all_images_are_for_those_who_wait(accuracy, status, monkeypatch):
    from fuse import cli, demo

    asked = []

    def train(model, images, labels, amount, epochs, rng):
        asked.append((len(images), amount.train, epochs))
        return accuracy

    monkeypatch.setattr(demo, "train", train)
    monkeypatch.setattr(demo, "show_stages", lambda model: None)
    assert cli.main(["demo", "--device", "cuda", "--whole", "--epochs", "6"]) == status
    assert asked == [(1797, 1437, 6)] * 2
