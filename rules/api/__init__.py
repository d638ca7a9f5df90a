"""The REST API: parse a request, ask the guard, carry it out, answer."""
