"""`python -m nvltop`."""

import sys

from nvltop.cli import main

sys.exit(main())
