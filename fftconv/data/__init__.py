"""The two real recordings that come with the package; sources and licences are in SOURCES.md beside them."""

from __future__ import annotations

from importlib.resources import files

import numpy as np


def electrocardiogram() -> tuple[np.ndarray, float]:
    """Five minutes of an electrocardiogram.

    Returns
    -------
    millivolt : ndarray
        108 000 samples of lead MLII, record 208 of the MIT-BIH Arrhythmia Database, float64.
    sample_rate : float
        Samples per second, 360.

    Examples
    --------
    >>> from fftconv.data import electrocardiogram
    >>> ecg, rate = electrocardiogram()
    >>> ecg.shape, ecg.size / rate
    ((108000,), 300.0)
    """
    record = _archive("ecg_208.npz")
    millivolt = (record["adc"] - record["adc_zero"]) / record["adc_gain"]
    return millivolt, float(record["sample_rate"])


def photograph() -> np.ndarray:
    """A photograph of a photographer at work, 512 x 512 grey levels, uint8.

    Examples
    --------
    >>> from fftconv.data import photograph
    >>> photograph().shape
    (512, 512)
    """
    return _archive("camera.npz")["pixels"]


def _archive(name: str) -> dict[str, np.ndarray]:
    with files(__name__).joinpath(name).open("rb") as file, np.load(file) as arrays:
        return dict(arrays)
