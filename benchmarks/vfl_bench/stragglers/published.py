"""The figures of arXiv 2207.11456, to be printed beside ours. They were measured on FATE.

Numbers of its tables and text as printed; those of its plots read off them to about three digits.
Neither the key's length nor how often a link's speed is drawn is told there.
"""

from __future__ import annotations

from typing import Final

SOURCE: Final = "arXiv 2207.11456"

# Fig. 3, Epsilon: shares of the time. The rest is what it calls others.
WHERE: Final = {
    "plain": {"computation": 0.250, "encryption": 0.0, "communication": 0.033},
    "encrypted": {"computation": 0.716, "encryption": 0.203, "communication": 0.069},
    "encrypted, fluctuating": {
        "computation": 0.370, "encryption": 0.105, "communication": 0.519,
    },
}  # fmt: skip

# Fig. 4, MIMIC-III: (probability of a slow link, backups) -> time relative to a clean network.
RELATIVE: Final = {
    (0.25, 0): 2.86, (0.25, 1): 2.46, (0.25, 2): 1.86,
    (0.5, 0): 7.34, (0.5, 1): 3.86, (0.5, 2): 2.55,
}  # fmt: skip
SAVING: Final = 0.6526  # 1 - 2.55 / 7.34: two backups at probability 1/2

# Figs. 5 to 7: AUC after passes 1, 5, 10, 20, 50.
PASSES: Final = (1, 5, 10, 20, 50)
AUC: Final = {
    "mimic-iii": {
        "B0": (0.510, 0.598, 0.677, 0.743, 0.772),
        "B1 stale": (0.510, 0.593, 0.669, 0.739, 0.769),
        "B2 stale": (0.510, 0.602, 0.664, 0.731, 0.765),
        "B1 null": (0.508, 0.563, 0.654, 0.716, 0.753),
        "PCA 80 %": (0.696, 0.750, 0.764, 0.774, 0.780),
        "PCA 60 %": (0.696, 0.750, 0.764, 0.774, 0.780),
    },
    "epsilon": {
        "B0": (0.528, 0.787, 0.829, 0.858, 0.883),
        "B1 stale": (0.535, 0.833, 0.853, 0.867, 0.890),
        "B2 stale": (0.547, 0.568, 0.666, 0.866, 0.889),
        "B1 null": (0.534, 0.772, 0.825, 0.852, 0.874),
        "PCA 80 %": (0.606, 0.820, 0.834, 0.847, 0.867),
        "PCA 60 %": (0.603, 0.812, 0.825, 0.838, 0.857),
    },
}

# Table 1, MIMIC-III, probability 1/2, 50 passes: minutes of (computation, communication).
MINUTES: Final = {
    "origin": (98.2, 141.0), "backup": (93.6, 48.3), "PCA": (58.5, 137.6), "both": (59.9, 46.4),
}  # fmt: skip
