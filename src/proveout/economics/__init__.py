"""Money: a dated price book, what requests cost, what of that was wasted, what a machine of one's own costs, and what a
change is worth in a month. Names are loaded when first used."""

from __future__ import annotations
