"""The state of a consumer for Prometheus: what it counts anyway, served over HTTP."""
