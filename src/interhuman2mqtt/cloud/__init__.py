"""Stage 2, chunks to events: one session with the Interhuman API per camera."""
