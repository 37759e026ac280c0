"""What people write first: a mitmproxy addon that counts in Redis. No reservation, no audit, fails open."""

import os

from mitmproxy import http
from redis.asyncio import Redis

redis = Redis.from_url(os.environ["NAIVE_REDIS_URL"])


async def request(flow: http.HTTPFlow) -> None:
    """Count the call's amount and refuse beyond a cap."""
    amount = int(flow.request.urlencoded_form.get("amount", "0"))
    if await redis.incrby("spent", amount) > 10**15:
        flow.response = http.Response.make(429)
