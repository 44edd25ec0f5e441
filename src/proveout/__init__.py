"""Proveout: prove a model change out before your users do."""

__version__ = "0.1.0"
