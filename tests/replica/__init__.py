"""A site whose routers read from a replica that lags behind its primary."""
