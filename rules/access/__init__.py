"""Between a request and the engine: which rules decide, and which requests are refused."""
