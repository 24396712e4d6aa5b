"""Where flags come from: variables of the environment, files in Theano's form, defaults, in this order."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings

import pytest

from fuse.config import Flags, _initial, config


def start(**environ):
    return _initial(lambda name, default: environ.get(name, default))


@pytest.fixture
def written(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))

    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_defaults(written):
    assert start() == Flags()


def test_files_in_the_home(written):
    written(".theanorc", "[global]\nfloatX = float32\nmode = FAST_COMPILE\n[blas]\nldflags = -lopenblas\n"
                         "[gcc]\ncxxflags = -I%s\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # flags of Theano's compiler are not spoken of
        found = start()
    assert (found.floatX, found.mode) == ("float32", "FAST_COMPILE")
    written(".fuserc", "[global]\nfloatx = float16\nprofile = yes\n")
    found = start()
    assert (found.floatX, found.mode, found.profile) == ("float16", "FAST_COMPILE", True)
    assert start(THEANO_FLAGS="floatX=float64").floatX == "float64"
    assert start(THEANO_FLAGS="floatX=float64", FUSE_FLAGS="floatX=float32").floatX == "float32"


def test_listed_files(written):
    written(".fuserc", "[global]\nthreads = 9\n")
    first, second = written("first", "[global]\nthreads=1\nmode=JAX\n"), written("second", "[global]\nthreads=2\n")
    found = start(FUSERC=os.pathsep.join([first, second, "~/absent"]))
    assert (found.threads, found.mode) == (2, "JAX")
    assert start(FUSERC=os.devnull).threads == 0
    assert start(THEANORC="~/second", FUSERC=os.devnull).threads == 2


@pytest.mark.parametrize(("text", "words"), [
    ("[global]\nflotX = float32\n", "ignores the flag 'flotX'"),
    ("[threads]\nthreads = 3\n", "ignores the flag 'threads.threads'"),
    ("[global]\nfloatX = float31\n", "one of float16, float32, float64"),
    ("floatX = float32\n", "cannot read this file"),
])
def test_faults_are_told_and_stop_nothing(written, text, words):
    path = written(".fuserc", text)
    with pytest.warns(UserWarning, match=words) as caught:
        assert start() == Flags()
    assert path in str(caught[0].message)


def test_an_entry_without_a_value_is_told():
    with pytest.warns(UserWarning, match="FUSE_FLAGS: fuse ignores 'float32', which has no value"):
        assert start(FUSE_FLAGS="threads=2, float32,").threads == 2


def test_flags_of_which_one_is_refused_stay():
    before = config.floatX
    with pytest.raises(ValueError, match="a number of threads"), config.change_flags(floatX="float16", threads=-1):
        pass
    assert config.floatX == before


def test_a_process(written, tmp_path):
    path = written("flags", "[global]\nfloatX = float32\n")
    env = {**os.environ, "FUSERC": path, "THEANO_FLAGS": "", "FUSE_FLAGS": ""}
    out = subprocess.run([sys.executable, "-c", "import fuse; print(fuse.config.floatX)"], env=env, check=True,
                         capture_output=True, text=True)
    assert out.stdout == "float32\n"


def test_flags_that_are_set_while_others_are_changed_stay():
    """Leaving a block put all flags back, also those that another thread had set meanwhile."""
    with config.change_flags(compute_test_value="off"):
        thread = threading.Thread(target=setattr, args=(config, "floatX", "float32"))
        thread.start()
        thread.join()
    try:
        assert config.floatX == "float32"
    finally:
        config.floatX = "float64"
