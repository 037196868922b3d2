"""The cloud, played locally: for demos, rehearsals and tests."""
