"""What holds for all tests."""

import os

# As in definitions.py, before torch is loaded: threads that wait must not spin on a machine that does other things too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
