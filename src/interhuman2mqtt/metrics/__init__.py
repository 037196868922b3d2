"""What Prometheus is told, when it asks: read out of what the stages count anyway. Nothing is kept for it.

::

    GET /metrics ──► http ──► exporter ──► stages: cameras, delivery, service ──► the daemon's own counters

Off unless `metrics.listen` is set; needs the extra `metrics`.
"""
