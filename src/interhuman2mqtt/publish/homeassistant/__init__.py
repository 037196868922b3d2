"""What Home Assistant is told, so that cameras and box show up there as devices by themselves.

::

    words, parts ──► camera, box ──► discovery ──► announcing
    vocabulary,       entities of     whole        when they are
    how an entity     one device      payloads     published, and cleared
    is described

No I/O in any of it.
"""
