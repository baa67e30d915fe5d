"""`python -m embedrun`."""

from __future__ import annotations

import sys

from embedrun.cli import main

sys.exit(main())
