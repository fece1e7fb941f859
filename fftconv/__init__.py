"""FFT-based convolution and correlation for signals, images and volumes."""

__version__ = "0.1.0"
