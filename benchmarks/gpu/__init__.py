"""Benchmarks on an NVIDIA GPU, against JAX, PyTorch's compiler and CuPy: ``python -m benchmarks.gpu``."""
