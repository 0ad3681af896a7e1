"""How it is with a consumer, for Prometheus: what is counted anyway, served over HTTP."""
