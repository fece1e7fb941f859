"""ConvProblem: its sizes against the oracle's, identities of the pads, and what makes it a good key."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import EXTRAS, arrays, mode_pads, problem, problems

from fftconv.core.problem import (
    ConvProblem,
    dilated_size,
    same_lower_pads,
    same_pads,
)

sizes = st.integers(1, 50)


@given(p=problems())
def test_output_size_counts_the_places_of_the_kernel(p):
    """The formula holds wherever a kernel has at least one tap; a kernel of none sits on every edge."""
    if min(p.kernel_size) > 0:
        assert p.out_shape == oracle.output_shape(p)


@given(p=problems())
def test_shapes(p):
    x, w = arrays(p)
    assert (x.shape, w.shape) == (p.x_shape, p.w_shape)
    assert p.group_inputs * p.groups == p.in_channels
    assert p.group_outputs * p.groups == p.out_channels
    assert p.macs == np.prod(p.out_shape, dtype=int) * p.group_inputs * np.prod(p.kernel_size, dtype=int)


@given(n=st.integers(0, 30), d=st.integers(1, 5))
def test_dilated_size_is_the_length_with_the_zeros_in_place(n, d):
    spread = np.zeros(max(0, n * d), int)
    spread[::d] = 1
    assert dilated_size(n, d) == (np.flatnonzero(spread)[-1] + 1 if n else 0)


@given(n=sizes, k=sizes, s=st.integers(1, 6))
def test_same_pads_give_one_output_per_stride(n, k, s):
    lo, hi = same_pads(n, k, s)
    assert same_lower_pads(n, k, s) == (hi, lo)
    assert 0 <= hi - lo <= 1
    outputs = (n + lo + hi - k) // s + 1
    # a stride beyond the kernel leaves samples over, which no pad may repair
    assert outputs == -(-n // s)


@given(n=sizes, k=sizes)
def test_scipys_same_is_same_lower(n, k):
    assert same_lower_pads(n, k) == mode_pads("same", k)


@pytest.mark.parametrize("mode", ("full", "same", "valid"))
@pytest.mark.parametrize("n, k", ((9, 4), (4, 4), (5, 1), (7, 3)))
def test_modes_are_numpys(mode, n, k):
    x, w = np.arange(1.0, n + 1), np.arange(2.0, k + 2)
    p = problem((n,), (k,), mode)
    assert p.dtype == np.float64 and p.ndim == 1
    want = np.convolve(x, w, mode)
    assert p.output_size == want.shape
    np.testing.assert_allclose(oracle.naive(p, x[None, None], w[None, None])[0, 0].astype("f8"), want)


@given(p=problems())
def test_a_problem_is_a_key(p):
    twin = ConvProblem(**{f.name: getattr(p, f.name) for f in fields(p)})
    assert twin == p and hash(twin) == hash(p) and {twin: 1}[p] == 1
    assert pickle.loads(pickle.dumps(p)) == p
    assert p.with_(batch=p.batch + 1) != p
    assert p.with_(batch=p.batch + 1).with_(batch=p.batch) == p
    with pytest.raises(FrozenInstanceError):
        p.batch = 7


@given(p=problems())
def test_a_problem_prints_in_one_line(p):
    assert "\n" not in str(p) and p.dtype.name in str(p)


def test_what_is_unusual_is_printed_and_what_is_usual_is_not():
    plain, unusual = str(problem((9, 9), (3, 3))), str(problem((9, 9), (3, 3), extras=EXTRAS["all at once"]))
    for words in ("stride 2x2", "input dilation 3x3", "kernel dilation 2x2", "groups 2"):
        assert words in unusual
        assert words.split()[-2] not in plain
