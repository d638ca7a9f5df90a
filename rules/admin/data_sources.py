"""Data sources and their rules in Django's admin: on one page, saved together or not at all."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Case, IntegerField, OuterRef, QuerySet, Subquery, When
from django.db.models.aggregates import Count
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.accounts.permissions import grant_all
from rowkeeper.datasources.admin.data_sources import Refused
from rowkeeper.datasources.admin.forms import WRITTEN
from rowkeeper.datasources.admin.markup import code_spans
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import having, look_again, may

from ..analysis.site import check
from ..decision_log.over_limit import over_limit
from ..describe.advice import advice_for, in_lines
from ..describe.rule import access, summaries
from ..engine.parse import parse_rules
from ..models import AccessRule, Revision
from ..repository.authorship import without_writer
from ..repository.naming import Tested, check_rename, rename_in_rules, tested
from ..repository.rules import RulesInvalid, problems_with, rules_and_writers, rules_of, save_rules
from .access import AccessPages
from .autocomplete import suggestions_for
from .decision_log import DecisionLogPages
from .forms import RuledDataSourceForm, rule_errors
from .history import HistoryPages
from .lint import CheckPages
from .scripts import ScriptPages

_TEMPLATE = "admin/rowkeeper_datasources/datasource/rules.html"
_HOW = "Select “Change the name in rules”"


@admin.register(DataSource)
class RuledDataSourceAdmin(ScriptPages, HistoryPages, DecisionLogPages, AccessPages, CheckPages):
    """Rules are shown to users with `change_rules`, for all data sources or for this one."""

    form = RuledDataSourceForm
    list_display = [
        "name",
        "shown_app",
        "column_count",
        "rule_count",
        "signs_in",
        "entries_link",
        "updated_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataSource]:
        """Add the number of rules in the same query, for users who may see the rules."""
        own = AccessRule.objects.filter(data_source=OuterRef("pk")).order_by()
        counted = own.values("data_source").annotate(n=Count("pk")).values("n")
        number: Any = Coalesce(Subquery(counted, output_field=IntegerField()), 0)
        if not may(request.user, "change_rules"):
            seen = having(request.user, ("change_rules",), DataSource.objects.order_by())
            number = Case(When(pk__in=seen.values("pk"), then=number), default=None)
        return super().get_queryset(request).annotate(number_of_rules=number)

    @admin.display(description="rules", ordering="number_of_rules", empty_value="–")
    def rule_count(self, obj: DataSource) -> int | None:
        """The number of rules; None for users who may not see them."""
        number: int | None = getattr(obj, "number_of_rules", None)
        return number

    def get_fieldsets(self, request: HttpRequest, obj: DataSource | None = None) -> Any:
        """Add the rules, for users who may see them."""
        main, *others = super().get_fieldsets(request, obj)
        if _may_be_renamed(obj) and self._may_edit(request, obj, "change"):
            fields = list(main[1]["fields"])
            fields.insert(fields.index("name") + 1, "rename_in_rules")
            main = (main[0], {**main[1], "fields": fields})
        if not self._may_edit(request, obj, "change_rules"):
            return [main, *others]
        # Django builds the fieldsets several times but renders one, so the description is lazy.
        rules = {
            "fields": ["rules", "note", "opened_revision"],
            "description": SimpleLazyObject(lambda: _in_words(request.user, obj)),
        }
        return [main, ("Access rules", rules), *others]

    def get_form(
        self,
        request: HttpRequest,
        obj: DataSource | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Add the editor's suggestions, if the form has rules."""
        form = super().get_form(request, obj, change, **kwargs)
        if form.declared_fields.get("rules") is None:
            return form
        return type(form)(
            form.__name__,
            (form,),
            {"suggestions": suggestions_for(request.user, obj), "user": request.user},
        )

    def save_model(self, request: HttpRequest, obj: DataSource, form: Any, change: bool) -> None:
        """Save the data source, then its rules. Its creator gets the permissions on it."""
        renamed = self._renamed(request, obj, form) if change else []
        super().save_model(request, obj, form, change)
        self._rename(request, obj, form, renamed)
        if not change and request.user.pk is not None:
            grant_all(request.user.pk, obj)
            look_again(request.user)
        if "rules" in form.changed_data:
            try:
                save_rules(
                    obj,
                    form.cleaned_data["rules"],
                    request.user,
                    origin=Revision.Origin.ADMIN,
                    note=form.cleaned_data.get("note", ""),
                )
            except RulesInvalid as error:
                raise Refused([("rules", text) for text in rule_errors(error.problems)]) from None
            except PermissionMissing as error:
                raise Refused([("rules", error.message)]) from None
        if {"rules", "columns", WRITTEN, "definition"} & set(form.changed_data):
            self._say(request, obj)

    def _renamed(self, request: HttpRequest, obj: DataSource, form: Any) -> list[Tested]:
        """The rules that are to be changed together with the name."""
        if "name" not in form.changed_data:
            return []
        stored = DataSource.objects.only("name", "definition").get(pk=obj.pk)
        if not stored.definition.get("login"):
            return []
        agreed = form.cleaned_data.get("rename_in_rules", False)
        try:
            return check_rename(obj, stored.name, request.user, agreed, _HOW)
        except ValidationError as error:
            raise Refused([("name", message) for message in error.messages]) from None

    def _rename(
        self, request: HttpRequest, obj: DataSource, form: Any, renamed: list[Tested]
    ) -> None:
        if not renamed:
            return
        old = str(form.initial["name"])
        try:
            rename_in_rules(renamed, old, obj.name, request.user, Revision.Origin.ADMIN)
        except (RulesInvalid, PermissionMissing) as error:
            raise Refused([("name", error.message)]) from None
        if "rules" in form.changed_data:
            text = "change the name first, and then the rules"
            raise Refused([("rules", text)])
        for each in renamed:
            messages.info(request, code_spans(f"Changed the name in {each}."))

    def _say(self, request: HttpRequest, obj: DataSource) -> None:
        """Show the linter's findings about the rules that were saved."""
        rules, writers, _ = rules_and_writers(obj.pk)
        found = [*check(rules, obj, user=request.user), *without_writer(rules, writers)]
        for level, severity in ((messages.WARNING, "warning"), (messages.INFO, "info")):
            for text in in_lines(each for each in found if each.severity == severity):
                messages.add_message(request, level, code_spans(f"{text[:1].upper()}{text[1:]}"))

    def goes_along(self, obj: DataSource, entries: int) -> str:
        """Add the number of rules, for users who may see them."""
        words, rules = super().goes_along(obj, entries), self.rule_count(obj)
        return words if rules is None else f"{words}, {rules} {'rule' if rules == 1 else 'rules'}"


def _may_be_renamed(obj: DataSource | None) -> bool:
    """Whether rules test the name of a data source, which they can if people sign in against it."""
    return obj is not None and bool(obj.definition.get("login")) and bool(tested(obj.name))


def _in_words(user: Any, obj: DataSource | None) -> SafeString | str:
    """The stored rules described in tables. All text in them is escaped."""
    if obj is None:
        return ""
    rules = rules_of(obj)
    found = summaries(rules, problems_with(rules, obj.declared_columns, obj.secret_columns))
    context = {
        "rules": found,
        "access": access(found, parse_rules(rules, frozenset(obj.declared_columns))[0]),
        "advice": [*in_lines(over_limit(obj)), *advice_for(obj, user)],
        "revision": obj.revision,
    }
    return render_to_string(_TEMPLATE, context)
