"""What holds for all tests."""

import os

# As in definitions.py, before torch is loaded: threads that wait must not spin on a machine that does other things too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, and nothing of us. CI tries the same examples every time,
# for what it says of a change must not hang on chance; elsewhere every run tries others.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
