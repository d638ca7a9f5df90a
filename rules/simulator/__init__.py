"""The rule simulator: what the rules would decide on a request, and why. Nothing is written.

The request is parsed, decided and, if it is a read, answered by the code that does so in the API.
"""
