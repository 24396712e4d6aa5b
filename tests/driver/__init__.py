"""What fuse asks of NVIDIA's driver through numba-cuda, on a stand-in for it: ``python -m tests.driver``."""
