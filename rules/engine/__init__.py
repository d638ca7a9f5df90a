"""The rule engine: a pure function from rules and a request to a decision. It imports no Django."""
