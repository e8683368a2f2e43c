"""``python -m crmcore.cli``: the command where its script is not on the path."""

import sys

from crmcore.cli import main

sys.exit(main())
