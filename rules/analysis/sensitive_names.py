"""Columns with sensitive values, guessed by their names."""

from __future__ import annotations

import re

# Whole words of a name.
_WORDS = frozenset(
    [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "passcode",
        "pin",
        "secret",
        "token",
        "salary",
        "wage",
        "payroll",
        "ssn",
        "iban",
        "cvv",
        "cvc",
        "dob",
        "diagnosis",
        "passport",
        "gehalt",
        "passwort",
        "kennwort",
        "salaire",
    ]
)
# Parts of a name, after its words are joined.
_PARTS = (
    "password",
    "passwort",
    "apikey",
    "accesskey",
    "privatekey",
    "accesstoken",
    "creditcard",
    "cardnumber",
    "accountnumber",
    "bankaccount",
    "socialsecurity",
    "taxid",
    "taxnumber",
    "nationalid",
    "dateofbirth",
    "birthdate",
    "medicalrecord",
)
_WORD = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+|[^\W\dA-Za-z_]+")


def looks_sensitive(column: str) -> bool:
    """Whether a name such as `Salary`, `api_key` or `userPassword` suggests a sensitive column."""
    words = [word.lower() for word in _WORD.findall(column[:255])]
    if any(word in _WORDS or word.removesuffix("s") in _WORDS for word in words):
        return True
    joined = "".join(words)
    return any(part in joined for part in _PARTS)
