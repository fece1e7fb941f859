"""Whatever is wrong with a call is said with the rule, the expected and the got; and nothing is written to an input."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal as sps

from fftconv import signal

GENERAL = ("convolve", "correlate", "fftconvolve", "oaconvolve")
PLANAR = ("convolve2d", "correlate2d")


def refuses(error, words, call, *args, **keywords):
    with pytest.raises(error, match=words):
        call(*args, **keywords)


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("a, b", [([1], 2), (1, [2]), ([3], [[2]]), (np.ones((2, 2)), np.ones((2, 2, 2)))])
def test_dimensions_must_match(name, a, b):
    words = r"in1 and in2 should have the same dimensionality; got shapes \(.*\) and \(.*\)"
    refuses(ValueError, words, getattr(signal, name), a, b)


@pytest.mark.parametrize("mode", ["chips", "FULL", "f", "", 2, None, b"full", True, ["full"], 1.5])
def test_modes_are_three_words(mode):
    for name in GENERAL:
        refuses(
            ValueError,
            "acceptable mode flags are 'valid', 'same', or 'full'; got",
            getattr(signal, name),
            [1],
            [2],
            mode,
        )
    for name in PLANAR:
        refuses(ValueError, "acceptable mode flags", getattr(signal, name), [[1]], [[2]], mode)
    refuses(ValueError, "acceptable mode flags", signal.choose_conv_method, [1], [2], mode)


def test_mode_of_lags():
    refuses(ValueError, "Mode asdfgh is invalid", signal.correlation_lags, 5, 4, "asdfgh")


@pytest.mark.parametrize("method", ["quick", "FFT", None, 1, ""])
def test_methods_are_those_of_the_registry(method):
    refuses(
        ValueError,
        "method must be one of auto, direct, band, jit, separable, fft, overlap_save",
        signal.convolve,
        [1],
        [2],
        "full",
        method,
    )


@pytest.mark.parametrize("name", GENERAL + PLANAR)
def test_valid_needs_one_operand_inside_the_other(name):
    a, b = np.arange(1, 7).reshape(2, 3), np.arange(-6, 0).reshape(3, 2)
    words = r"For 'valid' mode, one must be at least as large as the other in every dimension.*\(2, 3\) and \(3, 2\)"
    refuses(ValueError, words, getattr(signal, name), a, b, "valid")


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize(
    "axes, words",
    [
        ([], "when provided, axes cannot be empty"),
        ((), "when provided, axes cannot be empty"),
        ([[1, 2], [3, 4]], "axes must be a scalar or iterable of integers, got"),
        ([1.0, 2.0], "axes must be a scalar or iterable of integers"),
        (1.0, "axes must be a scalar or iterable of integers"),
        ("a", "axes must be a scalar or iterable of integers"),
        ([None], "axes must be a scalar or iterable of integers"),
        (1, r"axes exceeds dimensionality of input: got \(1,\) for 1 dimensions"),
        ([-2], "axes exceeds dimensionality of input"),
        ([0, 0], "all axes must be unique"),
        ([0, -1], "all axes must be unique"),
    ],
)
def test_axes(name, axes, words):
    refuses(ValueError, words, getattr(signal, name), [1.0], [2.0], axes=axes)


@pytest.mark.parametrize("name", GENERAL)
def test_other_axes_must_broadcast(name):
    a, b = np.zeros([5, 6, 2, 1]), np.zeros([5, 6, 3, 1])
    words = r"incompatible shapes for in1 and in2: \(5, 6, 2, 1\) and \(5, 6, 3, 1\)"
    refuses(ValueError, words, getattr(signal, name), a, b, axes=[0, 1])
    refuses(
        ValueError, "incompatible shapes", getattr(signal, name), np.zeros((0, 4)), np.zeros((2, 4)), axes=1
    )


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_empty_convolved_axes(name, mode):
    call = getattr(signal, name)
    refuses(ValueError, r"in1 cannot be empty along a convolved axis; got shape \(0,\)", call, [], [1], mode)
    refuses(ValueError, r"in2 cannot be empty along a convolved axis; got shape \(0,\)", call, [1], [], mode)
    refuses(ValueError, "in1 cannot be empty", call, np.zeros((3, 0)), np.zeros((3, 2)), mode, axes=1)
    assert call(np.zeros((0, 5)), np.zeros((1, 2)), mode, axes=1).size == 0


@pytest.mark.parametrize(
    "data", [["a", "b"], [b"a"], [object()], [None, 1], np.array(["2001"], "M8[Y]"), np.zeros(2, "f4,f4")]
)
def test_data_must_be_numbers(data):
    for name in GENERAL:
        for error in (TypeError, ValueError):
            refuses(
                error, "in1 must hold booleans, integers, real or complex", getattr(signal, name), data, [1.0]
            )
            refuses(
                error, "in2 must hold booleans, integers, real or complex", getattr(signal, name), [1.0], data
            )


def test_objects_are_refused_with_the_reason():
    refuses(
        TypeError, "got dtype object; sums of Python objects", signal.convolve, np.array([1, 2], object), [1]
    )
    refuses(ValueError, "inhomogeneous", signal.convolve, [[1, 2], [3]], [1])


def test_masked_values_are_no_data():
    masked = np.ma.masked_greater([1.0, 999.0, 2.0], 900)
    words = r"must have no masked elements, got 1 of shape \(3,\)"
    for name in GENERAL:
        refuses(ValueError, "in2 " + words, getattr(signal, name), np.ones(3), masked)
        if name not in ("convolve", "correlate"):
            refuses(ValueError, "in1 " + words, getattr(signal, name), masked, [1.0])
            got = getattr(signal, name)(np.ma.array([1.0, 2.0]), [1.0, 1.0])
            assert type(got) is np.ndarray and got.tolist() == [1, 3, 2]


class TestOut:
    a, b = np.arange(5.0), np.ones(3)

    @pytest.mark.parametrize("name", GENERAL)
    def test_rules(self, name):
        call = getattr(signal, name)
        refuses(
            ValueError,
            r"out must have the shape of the result, \(7,\); got \(5,\)",
            call,
            self.a,
            self.b,
            out=np.empty(5),
        )
        refuses(
            TypeError,
            "out must have the dtype of the result, float64; got float32",
            call,
            self.a,
            self.b,
            out=np.empty(7, "f4"),
        )
        refuses(
            TypeError, "out must have the dtype of the result", call, self.a, self.b, out=np.empty(7, ">f8")
        )
        refuses(TypeError, "out must be a numpy array, got a list", call, self.a, self.b, out=[0.0] * 7)
        frozen = np.zeros(7)
        frozen.flags.writeable = False
        refuses(ValueError, "out must be writeable", call, self.a, self.b, out=frozen)
        assert not frozen.any()

    @pytest.mark.parametrize("strides", [(0, 8), (8, 8), (8, 16), (-16, 0)])
    def test_elements_that_share_memory(self, strides):
        memory = np.zeros(20)
        out = np.lib.stride_tricks.as_strided(memory[10:], (3, 2), strides)
        a = np.ones((3, 2))
        refuses(ValueError, r"address of its own, got strides \(.*\) for shape \(3, 2\)", signal.convolve, a, a,
                "same", out=out)  # fmt: skip
        assert not memory.any()

    def test_a_subclass_that_indexes_otherwise(self):
        out = np.zeros((2, 2)).view(np.matrix)
        assert signal.convolve(np.eye(2), [[2.0]], out=out) is out
        np.testing.assert_array_equal(out, 2 * np.eye(2))

    def test_scalars(self):
        out = np.zeros((), int)
        assert signal.convolve(3, 4, out=out) is out and out == 12

    @pytest.mark.parametrize("where", ["in1", "in2", "shifted", "backwards"])
    @pytest.mark.parametrize("n", [6, 3000])
    def test_overlap_with_an_input(self, where, n):
        rng = np.random.default_rng(n)
        memory = rng.standard_normal(2 * n)
        a = memory[:n]
        b = rng.standard_normal(n)
        out = {"in1": a, "in2": b, "shifted": memory[n // 2 : n // 2 + n], "backwards": memory[:n][::-1]}[
            where
        ]
        want = sps.convolve(a, b, "same", "direct")
        assert signal.convolve(a, b, "same", out=out) is out
        np.testing.assert_allclose(out, want, atol=1e-10)

    def test_any_strides(self):
        out = np.full((9, 20), 777.0).T[::2]
        a, b = np.arange(40.0).reshape(8, 5), np.ones((3, 5))
        got = signal.convolve(a, b, out=out)
        assert got is out
        np.testing.assert_allclose(out, sps.convolve(a, b), atol=1e-11)

    def test_neighbours_of_a_strided_out_are_left_alone(self):
        memory = np.full(14, 777.0)
        signal.convolve(self.a, self.b, out=memory[::2])
        assert (memory[1::2] == 777).all()

    def test_a_conjugated_result(self):
        """Correlation with the operands' parts exchanged conjugates in place."""
        rng = np.random.default_rng(1)
        a, b = (rng.standard_normal(n) + 1j * rng.standard_normal(n) for n in (4, 9))
        out = np.empty(12, complex)
        np.testing.assert_allclose(signal.correlate(a, b, out=out), sps.correlate(a, b), atol=1e-13)


@pytest.mark.parametrize("value", [-1e-9, np.nan, np.inf, "1e-9", True, 1j, [1e-9]])
def test_tolerances(value):
    for keyword in ("rtol", "atol"):
        words = f"{keyword} must be a finite number >= 0, got"
        refuses(ValueError, words, signal.convolve, np.ones(3), np.ones(2), **{keyword: value})


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "", "MB", "3 q", "-1 MB", "1e6", "0 GB", [1]])
def test_memory_is_a_number_of_bytes(value):
    words = "max_memory must be a number of bytes >= 1, such as 64000000 or '64 MB'"
    refuses(ValueError, words, signal.convolve, np.ones(3), np.ones(2), max_memory=value)


@pytest.mark.parametrize(
    "keyword, value", [("boundary", "zeros"), ("boundary", ["fill"]), ("fill_value", 0), ("fill_value", 0.0)]
)
def test_spellings_of_the_defaults(keyword, value):
    assert signal.convolve([1, 2], [1, 1], **{keyword: value}).tolist() == [1, 3, 2]


class TestMissing:
    """Keywords about missing samples."""

    a, b = np.arange(12.0).reshape(3, 4), np.ones((2, 2))

    @pytest.mark.parametrize(
        "error, words, keywords",
        [
            (ValueError, "nan_policy must be one of 'propagate', .*; got 'ignore'", {"nan_policy": "ignore"}),
            (ValueError, "nan_policy must be one of .*; got None", {"nan_policy": None}),
            (ValueError, "nan_policy must be one of .*; got array", {"nan_policy": np.ones(2)}),
            (TypeError, "mask must be boolean, .*got dtype float64", {"mask": np.ones((3, 4))}),
            (
                ValueError,
                r"mask must broadcast to the shape of in1, \(3, 4\); got \(3,\)",
                {"mask": np.ones(3, bool)},
            ),
            (ValueError, r"mask must broadcast .*; got \(2, 3, 4\)", {"mask": np.ones((2, 3, 4), bool)}),
            (TypeError, "weights must be real numbers, got dtype complex128", {"weights": np.ones(4) * 1j}),
            (TypeError, "weights must be real numbers, got dtype <U1", {"weights": ["a", "b", "c", "d"]}),
            (
                ValueError,
                r"weights must broadcast to the shape of in1, \(3, 4\); got \(3,\)",
                {"weights": np.ones(3)},
            ),
            (
                ValueError,
                r"weights must be finite and at least 0, got -2.0 at index \(1,\), the first of 1 in shape \(4,\)",
                {"weights": [1, -2.0, 3, 4]},
            ),
            (
                ValueError,
                r"weights must be finite .*, got nan at index \(0,\), the first of 2",
                {"weights": [np.nan, 1, 1, np.inf]},
            ),
            (
                ValueError,
                "weights must have no masked elements",
                {"weights": np.ma.masked_less(np.arange(4), 2)},
            ),
            (
                ValueError,
                "nan_policy='omit_keep' keeps NaN at the positions of in1, .*got mode='full'",
                {"nan_policy": "omit_keep"},
            ),
        ],
    )
    @pytest.mark.parametrize("name", ["convolve", "correlate"])
    def test_keywords(self, name, error, words, keywords):
        refuses(error, words, getattr(signal, name), self.a, self.b, **keywords)

    @pytest.mark.parametrize("word", ["ignore", None, 1])
    def test_overflow(self, word):
        refuses(
            ValueError, "overflow must be 'wrap' or 'raise', got", signal.convolve, [1], [1], overflow=word
        )

    def test_raise_tells_what_and_where(self):
        bad = self.a.copy()
        bad[1, 2], bad[2, 0] = np.inf, np.nan
        words = r"must be finite under nan_policy='raise', got {} at index {}, the first of {} in shape {}"
        first = words.format("inf", r"\(1, 2\)", 2, r"\(3, 4\)")
        refuses(ValueError, "in1 " + first, signal.convolve, bad, self.b, nan_policy="raise")
        tap = self.b.copy()
        tap[1, 1] = np.nan
        for policy in ("raise", "omit", "omit_keep"):
            refuses(
                ValueError,
                rf"in2 must be finite under nan_policy='{policy}', got nan at index \(1, 1\), the first of 1",
                signal.convolve, self.a, tap, "same", nan_policy=policy,
            )  # fmt: skip
        assert np.isfinite(signal.convolve(self.a, self.b, nan_policy="raise")).all()

    @pytest.mark.parametrize("name", ["convolve", "correlate"])
    def test_a_kernel_that_sums_to_zero_has_no_mean(self, name):
        laplace = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
        holed = self.a.copy()
        holed[1, 1] = np.nan
        call = getattr(signal, name)
        words = "in2 must not sum to zero where samples are missing or weighted.*Fill the gaps first"
        refuses(ValueError, words, call, holed, laplace, "same", nan_policy="omit")
        refuses(ValueError, words, call, self.a, laplace, "same", weights=np.ones(4))
        refuses(ValueError, "got 0; of 2 kernels 1 do", call, holed, np.ones((2, 1, 1)) * [[[1]], [[0]]],
                axes=(1, 2), nan_policy="omit")  # fmt: skip
        whole = call(self.a, laplace, "same", nan_policy="omit", mask=np.zeros(4, bool))
        np.testing.assert_array_equal(whole, call(self.a, laplace, "same"))

    def test_means_of_integers_are_no_integers(self):
        words = "dtype must be floating or complex where a mask, weights or a masked array .*, got int64"
        refuses(TypeError, words, signal.convolve, [1, 2], [1, 1], mask=[True, False], dtype=np.int64)

    def test_out(self):
        call, mask = signal.convolve, np.zeros(4, bool)
        refuses(TypeError, "out must have the dtype of the result, float64; got int64", call,
                [1, 2, 3, 4], [1], mask=mask, out=np.zeros(4, int))  # fmt: skip
        refuses(ValueError, "out must have the shape", call, self.a, self.b, mask=mask, out=np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", ["i4", "?", "F", "U3"])
def test_dtype_must_hold_the_result(dtype):
    a = np.ones(3, "D" if dtype == "F" else "f8")
    if dtype == "F":
        assert signal.convolve(a, a, dtype=dtype).dtype == np.complex64
        refuses(TypeError, "dtype must be able to hold sums of complex128", signal.convolve, a, a, dtype="f8")
    else:
        refuses(TypeError, "dtype must be able to hold sums of float64", signal.convolve, a, a, dtype=dtype)


@pytest.mark.parametrize(
    "workers, error", [(0, ValueError), (-3, ValueError), (1.5, TypeError), ("2", TypeError)]
)
def test_workers(workers, error):
    words = "at least 1" if error is ValueError else "integer"
    refuses(error, words, signal.convolve, [1.0], [2.0], workers=workers)


class TestPlanar:
    one = np.ones((2, 2))

    @pytest.mark.parametrize("name", PLANAR)
    @pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
    def test_two_dimensions(self, name, shape):
        refuses(ValueError, r"in1 must be 2-d, got shape", getattr(signal, name), np.ones(shape), self.one)
        refuses(ValueError, r"in2 must be 2-d, got shape", getattr(signal, name), self.one, np.ones(shape))

    @pytest.mark.parametrize("dtype", ["?", "f2", "O", "U1"])
    def test_dtypes(self, dtype):
        a = self.one.astype(dtype)
        refuses(ValueError, "must hold", signal.convolve2d, a, a)

    @pytest.mark.parametrize("boundary", ["reflect", "FILL", None, 0, ["fill"]])
    def test_boundary(self, boundary):
        refuses(
            ValueError,
            "boundary must be one of 'fill'",
            signal.convolve2d,
            self.one,
            self.one,
            boundary=boundary,
        )

    @pytest.mark.parametrize("fill", [-1, 256, np.nan, np.inf, 1j, None, "a", 2**70])
    def test_fill_value_must_fit(self, fill):
        image = self.one.astype("u1")
        refuses(
            ValueError,
            "could not cast `fillvalue` directly to the output ",
            signal.convolve2d,
            image,
            image,
            fillvalue=fill,
        )
        signal.convolve2d(image, image, boundary="wrap", fillvalue=fill)

    def test_fill_value_is_one_number(self):
        refuses(
            ValueError,
            "`fillvalue` cannot be an empty array",
            signal.convolve2d,
            self.one,
            self.one,
            fillvalue=[],
        )
        refuses(
            ValueError,
            "`fillvalue` must be scalar or an array with ",
            signal.convolve2d,
            self.one,
            self.one,
            fillvalue=[1, 2],
        )


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("dtype", ["f4", "D", "i8", ">f8"])
def test_inputs_are_never_written_to(name, mode, dtype):
    rng = np.random.default_rng(0)
    a, b = (np.asarray(rng.integers(-50, 50, s)).astype(dtype) for s in ((40, 300), (40, 21)))
    before = a.tobytes(), b.tobytes()
    for method in ("direct", "auto"):
        getattr(signal, name)(a, b, mode, axes=1, method=method)
    assert (a.tobytes(), b.tobytes()) == before
