"""Pure statistics: numbers in, figures with their uncertainty out. Knows no other room of Proveout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names
from proveout.statistics._base import Estimate, PairedTest

if TYPE_CHECKING:
    from proveout.statistics.agreement import (
        krippendorff_alpha,
        pairwise_agreement,
        total_agreement,
    )
    from proveout.statistics.bandits import Batch, arm_difference, bandit_winner, thompson_shares
    from proveout.statistics.betting import AnytimeTest, anytime_test, block_differences
    from proveout.statistics.intervals import mean_interval, proportion_interval
    from proveout.statistics.multiplicity import holm_levels, online_level
    from proveout.statistics.paired import paired_test
    from proveout.statistics.power import (
        clusters_needed,
        fewest_clusters,
        minimal_detectable_difference,
        power_of_test,
        upper_spread,
    )
    from proveout.statistics.prediction_powered import (
        prediction_powered_mean,
        prediction_powered_test,
        prediction_weight,
    )
    from proveout.statistics.quantiles import quantile_interval
    from proveout.statistics.ratio_mismatch import mismatch_evidence
    from proveout.statistics.ratios import ratio_interval, ratio_of_ratios_test, ratio_test

__all__ = [
    "AnytimeTest",
    "Batch",
    "Estimate",
    "PairedTest",
    "anytime_test",
    "arm_difference",
    "bandit_winner",
    "block_differences",
    "clusters_needed",
    "fewest_clusters",
    "holm_levels",
    "krippendorff_alpha",
    "mean_interval",
    "minimal_detectable_difference",
    "mismatch_evidence",
    "online_level",
    "paired_test",
    "pairwise_agreement",
    "power_of_test",
    "prediction_powered_mean",
    "prediction_powered_test",
    "prediction_weight",
    "proportion_interval",
    "quantile_interval",
    "ratio_interval",
    "ratio_of_ratios_test",
    "ratio_test",
    "thompson_shares",
    "total_agreement",
    "upper_spread",
]

__getattr__ = lazy_names(
    __name__,
    {
        "agreement": ("krippendorff_alpha", "pairwise_agreement", "total_agreement"),
        "bandits": ("Batch", "arm_difference", "bandit_winner", "thompson_shares"),
        "betting": ("AnytimeTest", "anytime_test", "block_differences"),
        "intervals": ("mean_interval", "proportion_interval"),
        "multiplicity": ("holm_levels", "online_level"),
        "paired": ("paired_test",),
        "power": (
            "clusters_needed",
            "fewest_clusters",
            "minimal_detectable_difference",
            "power_of_test",
            "upper_spread",
        ),
        "prediction_powered": ("prediction_powered_mean", "prediction_powered_test", "prediction_weight"),
        "quantiles": ("quantile_interval",),
        "ratio_mismatch": ("mismatch_evidence",),
        "ratios": ("ratio_interval", "ratio_of_ratios_test", "ratio_test"),
    },
)
