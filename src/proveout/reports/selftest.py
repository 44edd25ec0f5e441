"""A self-test's outcome in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout.reports.figures import Scale
from proveout.reports.text import counted, phrase

if TYPE_CHECKING:
    from proveout.gates.self_test import SelfTest

_SHARE = Scale("share")


def selftest_in_words(selftest: SelfTest) -> str:
    """How often the champion passed, or failed, against itself; and what that means. Ends without a line break."""
    level = Scale("share", relative=True).margin(selftest.level)
    sign, words = ("✓", "Holds") if selftest.holds else ("✗", "Does not hold")
    meaning = (
        f"neither rate is shown to be above the {level} that Proveout promises on this data."
        if selftest.holds
        else f"a rate is shown to be above the {level} that Proveout promises. Don't trust verdicts on this data."
    )
    lines = [
        f"{sign} {words}: {meaning}",
        f"  {phrase(selftest.service, 60)}, {phrase(selftest.metric, 60)}: the champion against itself, "
        f"{counted(selftest.comparisons, 'comparison')} on {counted(selftest.clusters, 'cluster')}",
        f"  passed a claim of improvement  {_SHARE.figure(selftest.false_pass)}",
        f"  called worse                   {_SHARE.figure(selftest.false_worse)}",
    ]
    if selftest.across_examples:
        lines.append("  Both answers scored alike everywhere, so the scores of different examples were paired instead.")
    return "\n".join(lines)
