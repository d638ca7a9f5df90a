"""The failures of authentication and permissions. `rules.api.errors` maps codes to statuses."""

from __future__ import annotations

from rowkeeper.datasources.errors import Failure

# The message is the same for everyone who is not signed in, whether or not the object exists.
SIGN_IN = "this request requires a login or an API token"


class CredentialInvalid(Failure):
    """A credential was presented that is unknown, wrong, expired or revoked."""

    code = "auth.invalid"


class LoginRequired(Failure):
    """The request has no credential, and the action needs one."""

    code = "auth.required"


class PermissionMissing(Failure):
    """The caller is known, but lacks the permission for a management action."""

    code = "auth.forbidden"


class CsrfMissing(Failure):
    """The site's own session came without the CSRF token, so another site may have sent it."""

    code = "auth.csrf"


class TooMany(Failure):
    """Too many attempts; another may be made in `retry_after` seconds."""

    code = "request.limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
