"""What people look at, as a model: what is shown, never how. The live page and CloudWatch are two renderings of it."""

from probes.dashboards.levels import check, fleet, group
from probes.dashboards.model import Dashboard, Panel, Series

__all__ = ["Dashboard", "Panel", "Series", "check", "fleet", "group"]
