"""How a request can fail over who is asking. `rules.api.errors` gives each code its status."""

from __future__ import annotations

from rowkeeper.datasources.errors import Failure

# The same to everyone who is not signed in, whether what they ask for exists or not.
SIGN_IN = "this needs a login or an API token"


class CredentialInvalid(Failure):
    """A credential was presented, and it is unknown, wrong, expired or revoked."""

    code = "auth.invalid"


class LoginRequired(Failure):
    """No credential at all, and the action needs one."""

    code = "auth.required"


class PermissionMissing(Failure):
    """The caller is known, and lacks the permission of a management action."""

    code = "auth.forbidden"


class CsrfMissing(Failure):
    """The site's own session came without the token that shows that the site's page sent it."""

    code = "auth.csrf"


class TooMany(Failure):
    """Too many attempts; `retry_after` seconds from now there may be another."""

    code = "request.limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
