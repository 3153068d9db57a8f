"""The atomic operations of the shared state as Lua scripts. Pure text; who calls them is `redis_state.py`.

`KEYS[1]` is the prefix of all keys, with a hash tag, so that they share a slot of a cluster. `ARGV[1]` is one msgpack
map, `a`: packing and unpacking it is C on both sides. Times are unix seconds of the server; what lives for a time
carries it as text before a bar as well, because tests move time and Redis' own expiry does not follow them.
"""

from __future__ import annotations

import hashlib
from typing import Final

# The keys, behind the prefix:
#   slots:HOLDER    sorted set  lease@start_at → expires_at      rest:KEY     until|reason
#   served:HOLDER   when it was chosen last, as a serial number  memory:KEY   until|value
#   counter:KEY     until|number                                 memories     sorted set  KEY → until


class Script:
    """A script and the digest that Redis knows it by once it has run."""

    __slots__ = ("digest", "source")

    def __init__(self, body: str) -> None:
        self.source = PRELUDE + body
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


PRELUDE: Final = """
local p, a = KEYS[1], cmsgpack.unpack(ARGV[1])
local call = redis.call
local function ms(seconds) return string.format('%d', math.max(1, math.ceil(seconds * 1000))) end
local function stamp(seconds) return string.format('%.6f', seconds) end
local function live(raw)
  if not raw then return nil end
  local bar = string.find(raw, '|', 1, true)
  if tonumber(string.sub(raw, 1, bar - 1)) <= a.now then return nil end
  return string.sub(raw, bar + 1)
end
local function outlive(key, ttl_s)
  if call('PTTL', key) < ttl_s * 1000 then call('PEXPIRE', key, ms(ttl_s)) end
end
local function remember(key, value, ttl_s)
  local until_ = a.now + ttl_s
  call('SET', p .. 'memory:' .. key, stamp(until_) .. '|' .. value, 'PX', ms(ttl_s))
  call('ZADD', p .. 'memories', stamp(until_), key)
  call('ZREMRANGEBYSCORE', p .. 'memories', '-inf', stamp(a.now))
  local excess = call('ZCARD', p .. 'memories') - a.max_remembered
  if excess > 0 then
    local gone = call('ZPOPMIN', p .. 'memories', excess)
    for i = 1, #gone, 2 do call('DEL', p .. 'memory:' .. gone[i]) end
  end
  outlive(p .. 'memories', ttl_s)
end
"""

ACQUIRE = Script("""
local resting, full, chosen, best = {}, {}, nil, nil
local preferred = a.affinity and live(call('GET', p .. 'memory:' .. a.affinity[1]))
local rests, places = {}, {}
for i, c in ipairs(a.candidates) do
  rests[#rests + 1] = p .. 'rest:' .. c.id
  for _, key in ipairs(c.rests) do rests[#rests + 1] = p .. 'rest:' .. key end
  places[i] = p .. 'served:' .. c.id
end
local now, at = stamp(a.now), 0
local cooling = call('MGET', unpack(rests))
local served = a.spread and call('MGET', unpack(places))
for i, c in ipairs(a.candidates) do
  local rest = live(cooling[at + 1])
  for n = 1, #c.rests do rest = rest or live(cooling[at + 1 + n]) end
  at = at + 1 + #c.rests
  if rest then
    resting[#resting + 1] = c.id
  else
    local taken = call('ZCOUNT', p .. 'slots:' .. c.id, '(' .. now, '+inf')
    if taken >= c.capacity then
      full[#full + 1] = c.id
    elseif c.id == preferred then
      chosen = c
      break
    else
      local last = served and tonumber(served[i]) or -1
      if not chosen or (a.spread and (taken < best[1] or (taken == best[1] and (c.rank < best[2]
          or (c.rank == best[2] and last < best[3]))))) then
        chosen, best = c, {taken, c.rank, last}
      end
      if not a.spread and not preferred then break end
    end
  end
end
if not chosen then return false end
local slots, start_at = p .. 'slots:' .. chosen.id, a.now
call('ZREMRANGEBYSCORE', slots, '-inf', now)
if a.pace_s > 0 then
  for _, lease in ipairs(call('ZRANGE', slots, 0, -1)) do
    start_at = math.max(start_at, tonumber(string.match(lease, '@(.*)$')) + a.pace_s)
  end
end
local lease = a.lease .. '@' .. stamp(start_at)
call('ZADD', slots, stamp(a.now + a.ttl_s), lease)
outlive(slots, a.ttl_s)
call('SET', p .. 'served:' .. chosen.id, call('INCR', p .. 'serial'), 'EX', 86400)
call('EXPIRE', p .. 'serial', 172800)
if a.affinity then remember(a.affinity[1], chosen.id, a.affinity[2]) end
local kept = chosen.id == preferred
return {chosen.id, lease, stamp(start_at), kept and 1 or 0, resting, full, not kept and preferred or ''}
""")

TAKE_BACK = Script("""
-- For a lease whose owner left before it knew of it: the holder may be any of those it asked for.
for _, holder in ipairs(a.holders) do
  for _, lease in ipairs(call('ZRANGE', p .. 'slots:' .. holder, 0, -1)) do
    if string.sub(lease, 1, #a.lease + 1) == a.lease .. '@' then call('ZREM', p .. 'slots:' .. holder, lease) end
  end
end
""")

PROLONG = Script("""
local slots = p .. 'slots:' .. a.holder
local expires_at = call('ZSCORE', slots, a.lease)
if expires_at and tonumber(expires_at) > a.now then
  call('ZADD', slots, stamp(a.now + a.ttl_s), a.lease)
  outlive(slots, a.ttl_s)
end
""")

COOL = Script("""
local known = call('GET', p .. 'rest:' .. a.key)
if known and tonumber(string.match(known, '^[^|]*')) >= a.until_ then return end
if a.until_ > a.now then
  call('SET', p .. 'rest:' .. a.key, stamp(a.until_) .. '|' .. a.reason, 'PX', ms(a.until_ - a.now))
end
""")

COUNT = Script("""
local value = tonumber(live(call('GET', p .. 'counter:' .. a.key)) or 0) + 1
local text = string.format('%d', value)
call('SET', p .. 'counter:' .. a.key, stamp(a.now + a.ttl_s) .. '|' .. text, 'PX', ms(a.ttl_s))
return value
""")

REMEMBER = Script("remember(a.key, a.value, a.ttl_s)")
