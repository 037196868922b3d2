"""The rig: real parts on loopback, started, broken and stopped by the tests."""
