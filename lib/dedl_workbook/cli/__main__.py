"""`python -m dedl_workbook.cli`, the same as `dedl-workbook`."""

import sys

from dedl_workbook.cli.main import main

sys.exit(main())
