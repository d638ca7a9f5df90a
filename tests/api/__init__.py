"""The API over HTTP: addresses, answers, refusals and limits."""
