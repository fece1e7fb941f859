"""Every row of docs/arithmetic.md, evaluated: conditions, lengths, and values against the matrix of the convolution."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from fftconv import lax, nn

PAGE = (Path(__file__).parents[1] / "docs" / "arithmetic.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| \d", line)
]
FORWARD = {int(row[0]): row[1:] for row in ROWS if len(row) == 5}
TRANSPOSED = {int(row[0]): row[1:] for row in ROWS if len(row) == 6}
CALLS = {"conv1d": nn.conv1d, "conv_transpose1d": nn.conv_transpose1d}


def sizes(dilations: tuple[int, ...] = (1,)) -> list[dict[str, int]]:
    """All small sizes for which the dilated kernel fits the padded input."""
    found = []
    for i, k, s, p, d in product(range(1, 8), range(1, 6), range(1, 4), range(6), dilations):
        n = (i + 2 * p - d * (k - 1) - 1) // s + 1
        if n > 0:
            found.append({"i": i, "k": k, "s": s, "p": p, "d": d, "n": n, "a": (i + 2 * p - k) % s})
    return found


def matrix(v: dict[str, int], w: np.ndarray) -> np.ndarray:
    """The convolution as a matrix: row y holds the taps at the samples that output y sees."""
    rows = np.zeros((v["n"], v["i"] + 2 * v["p"]))
    for y, u in product(range(v["n"]), range(v["k"])):
        rows[y, y * v["s"] + u * v["d"]] = w[u]
    return rows[:, v["p"] : v["p"] + v["i"]]


def numbers(n: int) -> np.ndarray:
    return np.cos(3.0 * np.arange(n)) + 0.1 * np.arange(n)


def test_the_page_has_all_relationships() -> None:
    assert sorted(FORWARD) == [1, 2, 3, 4, 5, 6, 7, 15]
    assert sorted(TRANSPOSED) == [8, 9, 10, 11, 12, 13, 14]


@pytest.mark.parametrize("number", FORWARD)
def test_forward(number: int) -> None:
    _, condition, length, call = FORWARD[number]
    met = [v for v in sizes((1, 2, 3)) if eval(condition, dict(v))]
    for v in met:
        w = np.full(v["k"], 1 / v["k"]) if number == 7 else numbers(v["k"])
        x = numbers(v["i"])
        got = eval(call, {**CALLS, **v, "x": x[None], "w": w[None, None]})[0]
        assert got.size == eval(length, dict(v)) == v["n"], v
        np.testing.assert_allclose(got, matrix(v, w) @ x, atol=1e-12, err_msg=str(v))
    assert len(met) >= 20


def test_pooling_is_the_mean() -> None:
    x = numbers(9)
    got = nn.conv1d(x[None], np.full((1, 1, 3), 1 / 3), stride=3)
    np.testing.assert_allclose(got[0], x.reshape(3, 3).mean(1))


@pytest.mark.parametrize("number", TRANSPOSED)
def test_transposed(number: int) -> None:
    _, condition, length, q, call = TRANSPOSED[number]
    met = [v for v in sizes() if eval(condition, dict(v))]
    for v in met:
        y, w = numbers(v["n"]), numbers(v["k"])
        got = eval(call, {**CALLS, **v, "y": y[None], "w": w[None, None]})[0]
        assert got.size == eval(length, dict(v)) == v["i"], v
        np.testing.assert_allclose(got, matrix(v, w).T @ y, atol=1e-12, err_msg=str(v))
        low = eval(q, dict(v))
        assert low == v["k"] - 1 - v["p"]
        stretched = lax.conv_general_dilated(
            y[None, None], w[None, None, ::-1], (1,), [(low, low + v["a"])], lhs_dilation=(v["s"],)
        )
        np.testing.assert_allclose(stretched[0, 0], got, atol=1e-12, err_msg=str(v))
        if v["a"] == 0:
            x, kernel = y[None, :, None], w[:, None, None]
            pads = [(v["p"], v["p"])]
            same = lax.conv_transpose(
                x, kernel, (v["s"],), pads, transpose_kernel=True, use_consistent_padding=True
            )
            np.testing.assert_allclose(same[0, :, 0], got, atol=1e-12, err_msg=str(v))
    assert len(met) >= 20


# The two-dimensional cases that the paper draws: input, kernel, stride, padding, output of the forward convolution
DRAWN = [
    (4, 3, 1, 0, 2),
    (5, 4, 1, 2, 6),
    (5, 3, 1, 1, 5),
    (5, 3, 1, 2, 7),
    (5, 3, 2, 0, 2),
    (5, 3, 2, 1, 3),
    (6, 3, 2, 1, 3),
]


@pytest.mark.parametrize(("i", "k", "s", "p", "o"), DRAWN)
def test_the_drawn_cases_and_their_transposes(i: int, k: int, s: int, p: int, o: int) -> None:
    x, w, y = (np.random.default_rng(k).standard_normal((1, 1, n, n)) for n in (i, k, o))
    forward = nn.conv2d(x, w, stride=s, padding=p)
    assert forward.shape == y.shape
    extra = (i + 2 * p - k) % s
    back = nn.conv_transpose2d(y, w, stride=s, padding=p, output_padding=extra)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.vdot(forward, y), np.vdot(x, back), rtol=1e-12)
    # one column of the matrix per input sample
    columns = [nn.conv2d(e.reshape(x.shape), w, stride=s, padding=p).ravel() for e in np.eye(i * i)]
    np.testing.assert_allclose(np.array(columns) @ y.ravel(), back.ravel(), atol=1e-12)


def test_the_drawn_dilated_case() -> None:
    x, w = np.ones((1, 1, 7, 7)), np.ones((1, 1, 3, 3))
    assert nn.conv2d(x, w, dilation=2).shape == (1, 1, 3, 3)
