"""Recordings: files sent to the upload endpoints, their jobs, and the events that come of them, which are late."""
