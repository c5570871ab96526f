"""LEGO: elastic network functions built on neural networks."""

__version__ = "0.1.0"
