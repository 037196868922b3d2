"""Back-fill: what an outage of the cloud would lose is spooled, and uploaded beside the live session afterwards.

::

    capture.spooler ─► spool/<camera>/segments-<n>/*.mp4 ─► spool ─► uploader ─► upload.client ─► cloud
    cameras.gap_events ─► spool.json (gaps, the job under way) ┘         └─► upload.late_events, filled ─► MQTT
"""
