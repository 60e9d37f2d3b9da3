"""Synthetic availability and performance monitoring: one pure core, one straight line, two worlds."""

__version__ = "0.1.0"
