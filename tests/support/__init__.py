"""Support of the tests: real parts on loopback, started, broken and stopped by the tests."""
