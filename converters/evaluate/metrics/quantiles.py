"""Quantiles of the distributions that confidence limits use, from `scipy.special`, which loads faster than `scipy.stats`."""

from __future__ import annotations


def normal_quantile(probability: float) -> float:
    """Compute the quantile of the standard normal distribution; `probability` is above 0 and under 1."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def student_quantile(probability: float, degrees: float) -> float:
    """Compute the quantile of Student's t distribution with `degrees` degrees of freedom, above 0."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def chi_squared_quantile(probability: float, degrees: float) -> float:
    """Compute the quantile of the chi-squared distribution with `degrees` degrees of freedom, above 0."""
    from scipy.special import gammaincinv

    return 2.0 * float(gammaincinv(degrees / 2.0, probability))


def beta_quantile(probability: float, first: float, second: float) -> float:
    """Compute the quantile of the beta distribution with two shape parameters, both above 0."""
    from scipy.special import betaincinv

    return float(betaincinv(first, second, probability))
