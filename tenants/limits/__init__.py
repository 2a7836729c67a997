"""What may be used: requests and tokens a minute, turns at the same time, money a day and a month; of the platform, a
tenant, a member, an API key and a model. `limiter.Limits` is the `engine.ports.Limiter`."""

from tenants.limits.limiter import Limits as Limits
