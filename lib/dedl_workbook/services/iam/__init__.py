"""IAM: getting an access token, verifying it, and asking for roles.

Nothing in here prints, logs or stores a token, and no error repeats one.
"""

from dedl_workbook.services.iam.token import fresh_token
from dedl_workbook.services.iam.verification import TokenError, roles, verify

__all__ = ["TokenError", "fresh_token", "roles", "verify"]
