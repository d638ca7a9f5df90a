"""Between a request and the engine: which rules decide, and what is refused."""
