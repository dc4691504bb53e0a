"""``python -m promptop_tui`` is the ``promptop`` command."""

import sys

from promptop_tui.main import main

sys.exit(main())
