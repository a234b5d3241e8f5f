"""python -m bench.validation.embeddings: an 8 % new cluster in 384 dimensions among 400 rows, and false alarms.

Embeddings are unit-spread clusters in a latent space of 12 dimensions, rotated into 384 with a little noise, as
sentence models' are of low rank. The new cluster's centre lies 3 within-cluster standard deviations (of one latent
direction) from an old centre, in a direction of its own in every trial.
"""

from __future__ import annotations

import time

import numpy as np

from bench.tools import row
from hanok.compute.multivariate import shift

LATENT, WIDTH, CLUSTERS, SPREAD, NOISE = 12, 384, 6, 4.0, 0.05
ROWS, SHARE, ALPHA = 400, 0.08, 0.05


class World:
    """One rotation, its clusters, and a cluster that does not exist yet."""

    def __init__(self, seed):
        rng = self.rng = np.random.default_rng(seed)
        self.rotation = np.linalg.qr(rng.normal(size=(WIDTH, LATENT)))[0].T
        self.centres = rng.normal(size=(CLUSTERS, LATENT)) * SPREAD / np.sqrt(LATENT)
        away = rng.normal(size=LATENT)
        self.new = self.centres[0] + 3 * away / np.linalg.norm(away)

    def rows(self, n, new=0.0):
        """(rows, whether each is of the new cluster)."""
        is_new = np.arange(n) < round(new * n)
        centre = np.where(is_new[:, None], self.new, self.centres[self.rng.integers(0, CLUSTERS, n)])
        latent = centre + self.rng.normal(size=(n, LATENT))
        return latent @ self.rotation + NOISE * self.rng.normal(size=(n, WIDTH)), is_new


def rate(trials, reference_rows, share):
    """The share of trials below alpha, and how many of the 32 highest-scored rows are of the new cluster."""
    hits, found = 0, []
    for seed in range(trials):
        world = World(seed)
        before, _ = world.rows(reference_rows)
        now, is_new = world.rows(ROWS, share)
        made = shift(before, now, permutations=200, seed=seed)
        hits += made.p_value <= ALPHA
        found.append(float(is_new[made.rows(32)].mean()))
    return hits / trials, float(np.mean(found))


def measure(trials=200):
    rows = []
    for reference_rows in (400, 1200):
        started = time.process_time()
        power, found = rate(trials, reference_rows, SHARE)
        spent = f"{found:.0%} of the 32 rows shown are new; {(time.process_time() - started) / trials:.2f} CPU s each"
        rows.append(row(f"8 % new cluster found, reference {reference_rows}, window {ROWS}", 100 * power, "%", spent))
    rows.append(row("null false alarms at 5 %, reference 400", 100 * rate(5 * trials, 400, 0.0)[0], "%"))
    return rows


if __name__ == "__main__":
    for line in measure():
        print(f"  {line['what']:<62} {line['value']:>8}  {line['unit']:<8} {line['note']}", flush=True)
