"""`{% load rowkeeper %}`: a filter for texts with backquotes on the admin's pages."""

from __future__ import annotations

from django import template

from ..admin.markup import code_spans

register = template.Library()

register.filter("quoted", code_spans)
