"""How certain an accuracy is."""

import math
from statistics import NormalDist

CONFIDENCE = 0.95


def wilson_interval(hits: int, images: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns between which shares, 0 to 1, a probability lies that gave `hits` among `images` draws.

    Wilson's score interval of a binomial proportion: with p = hits / images and z the normal quantile,
    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n) (Wilson 1927, Journal of the American
    Statistical Association 22, https://doi.org/10.1080/01621459.1927.10502953).

    >>> low, high = wilson_interval(15, 148)
    >>> round(low, 4), round(high, 4)
    (0.0624, 0.1605)
    """
    assert 0 <= hits <= images and images > 0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, n = hits / images, images
    centre = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    whole = 1 + z * z / n
    return max(0.0, (centre - reach) / whole), min(1.0, (centre + reach) / whole)
