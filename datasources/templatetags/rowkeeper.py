"""`{% load rowkeeper %}`: how the admin's pages show what the project says."""

from __future__ import annotations

from django import template

from ..admin.markup import code_spans

register = template.Library()

register.filter("quoted", code_spans)
