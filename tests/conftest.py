"""What every test shares: Hypothesis without a deadline, because two cores are shared with whatever else runs."""

from hypothesis import settings

settings.register_profile("probes", deadline=None, print_blob=True)
settings.load_profile("probes")
