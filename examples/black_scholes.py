"""The price of a European call option and all five greeks, the derivatives that traders hedge by, from one formula.

Run it: ``python examples/black_scholes.py``. F. Black, M. Scholes, "The pricing of options and corporate liabilities",
1973. Prices in the currency of the spot, times in years, rates and volatilities per year.
"""
from __future__ import annotations

import numpy as np

import fuse
import fuse.tensor as T

GREEKS = ("delta", "vega", "theta", "rho", "dual delta")


def price(spot, strike, years, rate, volatility):
    """The price of the right to buy at ``strike`` in ``years``."""
    deviation = volatility * T.sqrt(years)
    d1 = (T.log(spot / strike) + (rate + volatility**2 / 2) * years) / deviation
    d2 = d1 - deviation

    def normal(z):  # the distribution function
        return 0.5 * T.erfc(-z / np.sqrt(2))

    return spot * normal(d1) - strike * T.exp(-rate * years) * normal(d2)


def main(options: int = 5) -> dict[str, np.ndarray]:
    """Print and return the prices and greeks of calls at strikes around the spot."""
    spot, strike, years, rate, volatility = T.vectors("spot", "strike", "years", "rate", "volatility")
    value = price(spot, strike, years, rate, volatility)
    # one reverse sweep: each option depends on its own inputs only, so the gradient of the sum holds them all
    delta, vega, by_time, rho, dual = fuse.grad(value.sum(), [spot, volatility, years, rate, strike])
    f = fuse.function([spot, strike, years, rate, volatility], [value, delta, vega, -by_time, rho, dual])

    strikes = np.linspace(80, 120, options)
    market = [np.full(options, 100.0), strikes, np.full(options, 0.5), np.full(options, 0.02), np.full(options, 0.25)]
    found = dict(zip(("price", *GREEKS), f(*market), strict=True))
    print(f"{'strike':>8}", *(f"{name:>10}" for name in found))
    for i, k in enumerate(strikes):
        print(f"{k:8.1f}", *(f"{values[i]:10.4f}" for values in found.values()))
    return found


if __name__ == "__main__":
    main()
