"""The autodiff package."""
