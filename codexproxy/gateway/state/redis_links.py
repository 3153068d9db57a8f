"""Large values that stand on one another, on Redis: what `SharedState.keep_link` and `read_links` do there.

They travel over a connection of their own, so that megabytes of a conversation never stand before a lease. Keys:

    link:KEY     hash: value, parent ("" for none), until      links       sorted set  KEY → until
    link_sizes   hash: KEY → bytes it counts for               link_bytes  their sum
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from codexproxy.gateway.state.contract import LINK_OVERHEAD_BYTES, MAX_LINK_BYTES, MAX_LINKS
from codexproxy.gateway.state.redis_link import RedisLink
from codexproxy.gateway.state.redis_scripts import Script

_pack = msgspec.msgpack.Encoder().encode

KEEP = Script("""
local function drop(key)
  local size = call('HGET', p .. 'link_sizes', key)
  if size then call('DECRBY', p .. 'link_bytes', size) end
  call('HDEL', p .. 'link_sizes', key)
  call('ZREM', p .. 'links', key)
  call('DEL', p .. 'link:' .. key)
end
drop(a.key)
for _, key in ipairs(call('ZRANGEBYSCORE', p .. 'links', '-inf', stamp(a.now), 'LIMIT', 0, 1000)) do drop(key) end
local size = #ARGV[2] + a.overhead
if size > a.max_bytes then return end
local until_ = stamp(a.now + a.ttl_s)
call('HSET', p .. 'link:' .. a.key, 'value', ARGV[2], 'parent', a.parent, 'until', until_)
call('PEXPIRE', p .. 'link:' .. a.key, ms(a.ttl_s))
call('ZADD', p .. 'links', until_, a.key)
call('HSET', p .. 'link_sizes', a.key, size)
call('INCRBY', p .. 'link_bytes', size)
while tonumber(call('GET', p .. 'link_bytes')) > a.max_bytes do
  local oldest = call('ZRANGE', p .. 'links', 0, 0)[1]
  if not oldest then break end
  drop(oldest)
end
-- The books live longer than what they count, or the sum would begin again at nothing.
for _, name in ipairs({'links', 'link_sizes', 'link_bytes'}) do outlive(p .. name, 2 * a.ttl_s) end
""")

READ = Script("""
local found, at = {}, a.key
while at and at ~= '' do
  if #found == a.max_links then return {} end
  local link = call('HMGET', p .. 'link:' .. at, 'value', 'parent', 'until')
  if not link[1] or tonumber(link[3]) <= a.now then return {} end
  found[#found + 1] = {at, link[1]}
  at = link[2]
end
local until_, values = stamp(a.now + a.ttl_s), {}
for n = #found, 1, -1 do
  local key = found[n][1]
  call('HSET', p .. 'link:' .. key, 'until', until_)
  call('PEXPIRE', p .. 'link:' .. key, ms(a.ttl_s))
  call('ZADD', p .. 'links', until_, key)
  values[#values + 1] = found[n][2]
end
for _, name in ipairs({'links', 'link_sizes', 'link_bytes'}) do outlive(p .. name, 2 * a.ttl_s) end
return values
""")


class RedisLinks:
    """Keeps and reads linked values. `prefix` is that of all keys."""

    def __init__(
        self, url: str, prefix: str, *, clock: Callable[[], float] = time.time, max_bytes: int = MAX_LINK_BYTES
    ) -> None:
        self.connection = RedisLink(url, (KEEP, READ), clock=clock)
        self._prefix = prefix
        self._max_bytes = max_bytes

    async def keep(self, key: str, value: bytes, *, parent: str | None, ttl_s: float, now: float) -> None:
        """See `SharedState.keep_link`. Waits until it is kept, so that what waits stays with the caller, who counts."""
        packed = self._packed(
            now, key=key, parent=parent or "", ttl_s=ttl_s, overhead=LINK_OVERHEAD_BYTES, max_bytes=self._max_bytes
        )
        await self.connection.call(("EVALSHA", KEEP.digest, 1, self._prefix, packed, value), KEEP)

    async def read(self, key: str, *, ttl_s: float, now: float) -> list[bytes]:
        """See `SharedState.read_links`."""
        packed = self._packed(now, key=key, ttl_s=ttl_s, max_links=MAX_LINKS)
        values: list[bytes] = await self.connection.call(("EVALSHA", READ.digest, 1, self._prefix, packed), READ)
        return values

    def _packed(self, now: float, **fields: Any) -> bytes:
        return _pack({**fields, "now": now + self.connection.offset_s})
