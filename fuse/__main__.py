"""``python -m fuse`` is the ``fuse`` command."""

from fuse.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
