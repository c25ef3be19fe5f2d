"""Properties are held with the same examples in every run, however slow the machine.

Whoever looks for other examples sets HYPOTHESIS_PROFILE=default; a failure that it finds becomes an example of its own.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "the same in every run",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "the same in every run"))
