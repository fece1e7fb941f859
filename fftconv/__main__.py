"""``python -m fftconv`` is the command `fftconv`."""

import sys

from fftconv.cli import main

sys.exit(main())
