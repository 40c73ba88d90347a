"""Natives and impostors: a class as a mixture of two populations that differ in two ways at once.

Activations: both are normal with one covariance and different means. Runner-up classes (what the
network would say if it could not say the label): the natives have preferences, as a truck is like a
car; impostors come from all other classes in proportion to their sizes. A natural class of two
kinds has the first difference and not the second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGE = 0.1
"""Share of the mean within-population variance added to each: blocks have few hundred rows."""

ROUNDS = 40
TOLERANCE = 1e-3
"""Rounds of expectation and maximisation, and the change of any posterior that ends them."""

MIN_WEIGHT = 8.0
"""Samples that a population must hold together, in posteriors: fewer have no mean."""

PSEUDO_COUNT = 0.5
"""Jeffreys' prior on each runner-up class."""


@dataclass(frozen=True, slots=True)
class Populations:
    """A fitted mixture, and the single population it is compared with.

    Attributes:
        direction: (d,) float64, the line on which the two means differ most (Fisher).
        weight: share of the impostors, 0–1.
        impostor, native: means along the line.
        variance: of both along the line.
        even: (K,) runner-up distribution of impostors; 0 at the class itself.
        preferred: (K,) that of natives.
        mean, spread, runners: of the one population that explains all.
    """

    direction: np.ndarray
    weight: float
    impostor: float
    native: float
    variance: float
    even: np.ndarray
    preferred: np.ndarray
    mean: float
    spread: float
    runners: np.ndarray

    def by_activation(self, rows: np.ndarray) -> np.ndarray:
        """(n,) probability of an impostor from activations (n, d) alone."""
        return _sigmoid(self._log_odds(rows @ self.direction))

    def posterior(self, rows: np.ndarray, runner_up: np.ndarray) -> np.ndarray:
        """(n,) probability of an impostor from activations (n, d) and runner-ups (n,)."""
        surprise = np.log(self.even[runner_up]) - np.log(self.preferred[runner_up])
        return _sigmoid(self._log_odds(rows @ self.direction) + surprise)

    def gains(self, rows: np.ndarray, runner_up: np.ndarray) -> tuple[float, float]:
        """What the mixture explains better than one population, of rows that it was not fitted to.

        Returns:
            Twice the mean log-likelihood ratio of the activations along the line, and of the
            runner-ups given the activations. Neither is above 0 but by chance where there is one
            population, because the rows are new.
        """
        along = rows @ self.direction
        low, high = np.log(1.0 - self.weight), np.log(self.weight)
        two = np.logaddexp(
            high + _normal(along, self.impostor, self.variance),
            low + _normal(along, self.native, self.variance),
        )
        activation = 2.0 * float(np.mean(two - _normal(along, self.mean, self.spread)))
        odds = _sigmoid(self._log_odds(along))
        mixed = odds * self.even[runner_up] + (1.0 - odds) * self.preferred[runner_up]
        runner = 2.0 * float(np.mean(np.log(mixed) - np.log(self.runners[runner_up])))
        return activation, runner

    def _log_odds(self, along: np.ndarray) -> np.ndarray:
        odds: np.ndarray = (
            np.log(self.weight / (1.0 - self.weight))
            + _normal(along, self.impostor, self.variance)
            - _normal(along, self.native, self.variance)
        )
        return odds


def fit_populations(
    rows: np.ndarray, runner_up: np.ndarray, even: np.ndarray
) -> Populations | None:
    """Fit the mixture by expectation and maximisation.

    It starts from runner-ups: as many samples of each as an even population could hold at most.

    Args:
        rows: (n, d) float, whitened and centred activations of one class.
        runner_up: (n,) int64 in 0…K−1, never the class itself.
        even: (K,) runner-up distribution of impostors, 0 at the class itself.

    Returns:
        The mixture, or None if one population swallows the other. Source of the two means with one
        covariance: Tang et al. 2021, Demon in the Variant, §5.2 (identity and variation);
        deviations: a normal line in place of all dimensions, and the runner-ups.
    """
    possible = even > 0
    counts = np.bincount(runner_up, minlength=len(even))
    share = counts / len(runner_up)
    ratio = np.sort(share[possible] / even[possible])
    # The rarest runner-up bounds the impostors; the second rarest, where the first never occurs.
    most = max(float(ratio[0]), 0.5 * float(ratio[min(1, len(ratio) - 1)]))
    own = np.clip(most * even[runner_up] / np.maximum(share[runner_up], 1e-12), 0.0, 0.98)
    model = None
    for _ in range(ROUNDS):
        if min(own.sum(), (1.0 - own).sum()) < MIN_WEIGHT:
            return None
        model = _maximised(rows, runner_up, even, own)
        moved = model.posterior(rows, runner_up)
        if np.abs(moved - own).max() < TOLERANCE:
            break
        own = moved
    return model


def even_distribution(counts: np.ndarray, label: int) -> np.ndarray:
    """(K,) float64: samples of the other classes in proportion to their numbers; 0 at ``label``."""
    even = counts.astype(np.float64)
    even[label] = 0.0
    even /= even.sum()
    return even


def evenness(runner_up: np.ndarray, even: np.ndarray) -> float:
    """exp(−KL(runner-ups ‖ even)), 0–1: 1 where the runner-ups are in the even proportion."""
    possible = even > 0
    counts = np.bincount(runner_up, minlength=len(even))[possible] + PSEUDO_COUNT * even[possible]
    share = counts / counts.sum()
    return float(np.exp(-np.sum(share * np.log(share / even[possible]))))


def _maximised(
    rows: np.ndarray, runner_up: np.ndarray, even: np.ndarray, own: np.ndarray
) -> Populations:
    """The mixture whose parameters fit the posteriors ``own`` (n,) best."""
    direction = _fisher(rows, own)
    along = rows @ direction
    near = float(own @ along / own.sum())
    far = float((1.0 - own) @ along / (1.0 - own).sum())
    squares = own * (along - near) ** 2 + (1.0 - own) * (along - far) ** 2
    possible = even > 0
    return Populations(
        direction=direction,
        weight=float(own.mean()),
        impostor=near,
        native=far,
        variance=max(float(squares.mean()), 1e-30),
        even=even,
        preferred=_distribution(runner_up, 1.0 - own, possible),
        mean=float(along.mean()),
        spread=max(float(along.var()), 1e-30),
        runners=_distribution(runner_up, np.ones(len(own)), possible),
    )


def _fisher(rows: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(d,) the direction of the means' difference in units of the shrunk common covariance."""
    near = own @ rows / own.sum()
    far = (1.0 - own) @ rows / (1.0 - own).sum()
    inside, outside = rows - near, rows - far
    covariance = (inside * own[:, None]).T @ inside + (outside * (1.0 - own)[:, None]).T @ outside
    covariance /= len(rows)
    width = len(covariance)
    covariance += RIDGE * max(float(np.trace(covariance)) / width, 1e-12) * np.eye(width)
    direction: np.ndarray = np.linalg.solve(covariance, near - far)
    return direction


def _distribution(runner_up: np.ndarray, weights: np.ndarray, possible: np.ndarray) -> np.ndarray:
    counts = np.bincount(runner_up, weights, len(possible)) + PSEUDO_COUNT * possible
    share: np.ndarray = counts / counts.sum()
    return share


def _normal(values: np.ndarray, mean: float, variance: float) -> np.ndarray:
    """Log density, without the constant."""
    density: np.ndarray = -0.5 * (values - mean) ** 2 / variance - 0.5 * np.log(variance)
    return density


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    chance: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(odds, -50.0, 50.0)))
    return chance
