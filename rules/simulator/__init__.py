"""The rule simulator: what the rules would decide on a request, and why. Nothing is written.

The API's functions parse the request, the engine of production decides it, and a read is answered
by the code that answers it in the API.
"""
