"""What the rules would say to a request that nobody sends, and why. Nothing is written.

The request is read by the functions that the API reads it with, the production engine decides it,
and a read is answered by what answers it there.
"""
