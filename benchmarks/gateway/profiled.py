"""The gateway under cProfile: `python profiled.py STATS gateway ARGUMENTS...`."""

from __future__ import annotations

import cProfile
import pstats
import sys
import time

from proveout.cli import main

profile = cProfile.Profile(time.thread_time)
where, sys.argv = sys.argv[1], ["proveout", *sys.argv[2:]]
profile.enable()
try:
    main()
finally:
    profile.disable()
    with open(where, "w") as file:
        pstats.Stats(profile, stream=file).sort_stats("tottime").print_stats(60)
