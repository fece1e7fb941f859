"""The bare transforms of a plan: what is left of a spectral method when everything else costs nothing."""

from __future__ import annotations

from collections.abc import Callable

from fftconv.core.engine import get_engine
from fftconv.core.engine.base import FFTSpec
from fftconv.core.jobs import jobs_of
from fftconv.core.plan import ConvPlan
from fftconv.core.tiling import TileLayout
from fftconv.core.workers import for_each


def bare_executes(plan: ConvPlan) -> Callable[[], None]:
    """A function that runs the forward and the inverse transform of every tile of `plan`, on as many workers.

    Nothing is gathered, multiplied or stored, and the kernel is not transformed. The scratch holds zeros, which
    stay zeros under any number of transforms and take as long as other values.

    Examples
    --------
    >>> from fftconv import explain
    >>> bare_executes(explain((100_000,), (1001,), method="overlap_save"))()
    """
    layout = TileLayout(plan.problem, plan.tiling)
    engine = get_engine(layout.dtype)
    sides = (plan.problem.in_channels, plan.problem.out_channels)
    into, back = (
        FFTSpec(layout.signal_shape(c), layout.fft_axes, layout.dtype, kept=layout.kept) for c in sides
    )
    jobs = range(sum(1 for _ in jobs_of(layout)))

    def work(_: int) -> None:
        with engine.borrow(into) as forward, engine.borrow(back) as inverse:
            forward.forward()
            inverse.backward()

    def lone(_: int) -> None:
        with engine.borrow(into) as both:
            both.forward()
            both.backward()

    held = [engine.checkout(spec) for spec in {into, back} for _ in range(plan.workers)]
    for transform in held:
        transform.signal[...] = transform.spectrum[...] = 0
        transform.forward()
        transform.backward()
        engine.checkin(transform)
    return lambda: for_each(jobs, lone if into == back else work, plan.workers)
