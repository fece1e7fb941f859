"""``fftconv tune``: measure this host, fit the cost models' coefficients, write the host profile.

* `stopwatch`: how long a call takes.
* `transforms`, `tiles`, `sums`: what is measured of transforms, of the rest of spectral methods, of direct sums.
* `fit`: coefficients from times.
* `wisdom`: FFTW's measured plans for common tiles.
* `host`: all of it, in order.
"""

from fftconv.tuning.host import Tuning, tune

__all__ = ["Tuning", "tune"]
