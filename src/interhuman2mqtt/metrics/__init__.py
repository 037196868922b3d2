"""Metrics for Prometheus, read on each scrape out of what the stages count anyway. Nothing is kept for it.

::

    GET /metrics ──► server ──► collectors ──► counters of the cameras, the publish service and the daemon

Off unless `metrics.listen` is set; needs the extra `metrics`.
"""
