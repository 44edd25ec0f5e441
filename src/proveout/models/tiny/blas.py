"""One thread for numpy's matrix products: the model's are so small that more threads only wait for each other."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

import numpy as np

_SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")


@lru_cache(maxsize=1)
def limit_threads() -> bool:
    """Tell the OpenBLAS of numpy's wheels to use one thread in this process, as OMP_NUM_THREADS=1 would have before
    the start.

    Returns:
        Whether that library was found; with another BLAS, set its own variable before starting.
    """
    package = Path(np.__file__).parent
    folders = (package.with_name("numpy.libs"), package / ".dylibs")
    for library in (path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*openblas*"))):
        loaded = ctypes.CDLL(str(library))
        for setter in _SETTERS:
            if hasattr(loaded, setter):
                getattr(loaded, setter)(1)
                return True
    return False
