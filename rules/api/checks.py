"""System checks of the API's middleware."""

from __future__ import annotations

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from rowkeeper.datasources.conf import setting

SHORT = "rowkeeper.rules.api.middleware.TokenApiMiddleware"
# What these do is for browsers, or is done by `TokenApiMiddleware`. Others of Django, such as
# `UpdateCacheMiddleware`, have no effect on the API.
FOR_BROWSERS = ("django.", "whitenoise.", "allauth.account.", "debug_toolbar.")


@register()
def check_api_middleware(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that the API's middleware can be imported, and that requests with a token skip no
    other.
    """
    own, found = list(setting("API_MIDDLEWARE")), list[CheckMessage]()
    for name in own:
        try:
            import_string(name)
        except ImportError as error:
            found.append(
                Error(
                    f'`ROWKEEPER["API_MIDDLEWARE"]` has `{name}`, which cannot be imported: '
                    f"{error}.",
                    id="rowkeeper.E040",
                )
            )
    installed = list(settings.MIDDLEWARE)
    if SHORT not in installed:
        if own:
            found.append(
                Warning(
                    '`ROWKEEPER["API_MIDDLEWARE"]` has no effect, because `TokenApiMiddleware` is '
                    "not in `MIDDLEWARE`.",
                    hint=f"Add `{SHORT}` to `MIDDLEWARE`, directly after `SecurityMiddleware`.",
                    id="rowkeeper.W041",
                )
            )
        return found
    skipped = [
        name
        for name in installed[installed.index(SHORT) + 1 :]
        if not name.startswith(FOR_BROWSERS) and name not in own
    ]
    if skipped:
        found.append(
            Warning(
                f"API requests with a token skip {', '.join(f'`{name}`' for name in skipped)}.",
                hint='Add the middleware that the API needs to `ROWKEEPER["API_MIDDLEWARE"]`, '
                "or place it before `TokenApiMiddleware`. If the API does not need it, "
                "silence this warning.",
                id="rowkeeper.W040",
            )
        )
    return found
