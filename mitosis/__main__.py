"""`python -m mitosis` is the same as the command `mitosis`."""

import sys

from mitosis.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
