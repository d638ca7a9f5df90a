"""Apps, API tokens and login sessions in Django's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import ForeignKey, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from rowkeeper.datasources.admin.filters import OwnFilters

from . import tokens
from .models import ApiToken, App, LoginSession
from .token_uses import UsesOfToken

if TYPE_CHECKING:
    _AppAdmin = admin.ModelAdmin[App]
    _TokenAdmin = admin.ModelAdmin[ApiToken]
    _SessionAdmin = admin.ModelAdmin[LoginSession]
else:
    _AppAdmin = _TokenAdmin = _SessionAdmin = admin.ModelAdmin

# The message after a revocation lists the rules that still name a token, for so many tokens.
MANY = 10
# The fields shown once a token has been made. Its digest is never shown.
_MADE = ["shown_id", "shown_hint", "state", "created_at", "last_used_at", "revoked_at"]


def _on_own_pages(model_admin: admin.ModelAdmin[Any], request: HttpRequest) -> bool:
    """True on this model's own pages, False where another object's deletion includes this model."""
    match, options = request.resolver_match, model_admin.opts
    own = f"{options.app_label}_{options.model_name}_"
    return match is None or (match.url_name or "").startswith(own)


class ShownId(OwnFilters):
    """Show the id as plain digits, as rules and commands write it, whatever the locale."""

    @admin.display(description="ID", ordering="pk")
    def shown_id(self, obj: Any) -> str:
        """The id, without thousands separators."""
        return "" if obj.pk is None else str(obj.pk)


@admin.register(App)
class AppAdmin(ShownId, _AppAdmin):
    """Apps: a name, and the id that rules use."""

    list_display = ["name", "shown_id", "created_at"]
    search_fields = ["name"]
    readonly_fields = ["shown_id", "created_at"]

    def get_fields(self, request: HttpRequest, obj: App | None = None) -> Any:
        """An app that has not been saved yet has only a name."""
        return ["name"] if obj is None else ["name", "shown_id", "created_at"]


@admin.register(ApiToken)
class ApiTokenAdmin(ShownId, _TokenAdmin):
    """API tokens: made and shown once, then revoked but never deleted, so that no id is reused.

    A token carries the permissions of its user. Users can therefore make tokens for themselves
    only; superusers can make them for others. The user of a token cannot be changed later.
    """

    list_display = ["name", "shown_id", "app", "user", "shown_hint", "state", "last_used_at"]
    list_display_links = ["name"]
    list_select_related = ["app", "user"]
    list_filter = ["app"]
    search_fields = ["name", "hint"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        """The fields of the form; those of `_MADE` once the token exists."""
        return ["name", "app", "user", "expires_at", *([] if obj is None else _MADE)]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        """The user and the app of a token are fixed when it is made.

        A token of another user can be revoked, but not edited.
        """
        if obj is None:
            return _MADE
        fixed = ["app", "user", *_MADE]
        superuser = getattr(request.user, "is_superuser", False)
        if obj.user_id in (None, request.user.pk) or superuser:
            return fixed
        return ["name", "expires_at", *fixed]

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.ModelChoiceField[Any] | None:
        """Offer and accept only the current user; superusers can choose any active user."""
        if db_field.name == "user":
            everyone = get_user_model()._default_manager.all()
            kwargs["queryset"] = (
                everyone.filter(is_active=True)
                if getattr(request.user, "is_superuser", False)
                else everyone.filter(pk__in=[request.user.pk])
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Tokens are deleted only together with their user; otherwise they are revoked."""
        return not _on_own_pages(self, request)

    @sensitive_variables("secret")
    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Give a new token its secret, which the next page shows."""
        if not change:
            secret = tokens.seal(obj)
            vars(request)["_made_secret"] = secret
        super().save_model(request, obj, form, change)

    @sensitive_variables("secret")
    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The only page that shows the secret. No redirect, so that no URL or store holds it."""
        secret = vars(request).pop("_made_secret")
        context = {
            **self.admin_site.each_context(request),
            "title": "API token created",
            "opts": self.opts,
            "token": obj,
            "secret": secret,
        }
        response = TemplateResponse(request, "admin/rowkeeper_accounts/apitoken/made.html", context)
        response["Cache-Control"] = "no-store, private"
        return response

    @admin.display(description="ends in", ordering="hint")
    def shown_hint(self, obj: ApiToken) -> str:
        """The last characters of the token."""
        return f"…{obj.hint}" if obj.hint else ""

    @admin.display(description="state")
    def state(self, obj: ApiToken) -> str:
        """The state of the token: `in use`, or why it cannot be used."""
        if obj.revoked_at is not None:
            return "revoked"
        if obj.expires_at is not None and obj.expires_at <= timezone.now():
            return "expired"
        if obj.user is not None and not obj.user.is_active:
            return "user not active"
        return "in use"

    @admin.action(description="Revoke the selected API tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Revoke the selected tokens. This cannot be undone."""
        chosen = list(queryset.filter(revoked_at=None))
        for token in chosen:
            self._revoke(request, token)
        self.message_user(request, f"Revoked: {len(chosen)}.")
        for token in chosen[:MANY]:
            if lines := UsesOfToken.of(token, request.user).lines:
                text = f"Rules still name {token}: {'; '.join(lines)}."
                self.message_user(request, text, messages.WARNING)

    def _revoke(self, request: HttpRequest, token: ApiToken) -> None:
        tokens.revoke(token)
        self.log_change(request, token, "Revoked.")

    def get_urls(self) -> list[Any]:
        """Add the page that asks for confirmation before a token is revoked."""
        view = self.admin_site.admin_view(self.revoke_view)
        own = path("<int:token_id>/revoke/", view, name="rowkeeper_accounts_apitoken_revoke")
        return [own, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Add the rules that name the token, as far as the user may see them."""
        token = self.get_object(request, object_id)
        sees = token is not None and self.has_view_permission(request, token)
        uses = UsesOfToken.of(token, request.user) if token is not None and sees else None
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "uses": uses}
        )

    def revoke_view(self, request: HttpRequest, token_id: int) -> HttpResponse:
        """Ask for confirmation to revoke the token; a POST revokes it."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        token = self.get_object(request, str(token_id))
        if token is None:
            raise Http404
        page = reverse("admin:rowkeeper_accounts_apitoken_change", args=[token.pk])
        if request.method == "POST" and token.revoked_at is None:
            self._revoke(request, token)
            self.message_user(request, f"Revoked: {token}.")
        if token.revoked_at is not None:
            return HttpResponseRedirect(page)
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke API token",
            "opts": self.opts,
            "token": token,
            "token_url": page,
            "uses": UsesOfToken.of(token, request.user),
        }
        return TemplateResponse(request, "admin/rowkeeper_accounts/apitoken/revoke.html", context)


@admin.register(LoginSession)
class LoginSessionAdmin(OwnFilters, _SessionAdmin):
    """Who is signed in. Sessions cannot be changed; deleting a session ends it."""

    list_display = ["__str__", "data_source", "shown_entry_id", "created_at", "last_seen_at"]
    list_select_related = ["data_source", "entry"]
    list_filter = ["data_source"]
    fields = ("data_source", "shown_entry_id", "created_at", "last_seen_at")
    readonly_fields = ("data_source", "shown_entry_id", "created_at", "last_seen_at")
    actions = ["end"]

    @admin.display(description="entry", ordering="entry_id")
    def shown_entry_id(self, obj: LoginSession) -> str:
        """The id of the entry, as digits."""
        return str(obj.entry_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Sessions are created by signing in only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: LoginSession | None = None) -> bool:
        """Sessions cannot be changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LoginSession | None = None) -> bool:
        """A session can always be deleted together with its entry or its data source."""
        return not _on_own_pages(self, request) or super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Remove Django's own delete action, since `end` does that."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="End the selected sessions", permissions=["delete"])
    def end(self, request: HttpRequest, queryset: QuerySet[LoginSession]) -> None:
        """Sign these users out."""
        count = queryset.count()
        queryset.delete()
        self.message_user(request, f"Ended: {count}.")
