"""The scripts that admit turns and lend portions of counters to workers: each one step, at one shard.

All times are the server's, in milliseconds. The last key of those that admit or lend is the hash of marks: `u` and a
counter's key, until when a worker may hold a portion of it (see `leases`); `p` and the key, until when nobody is lent
any, because somebody was refused meanwhile."""

from __future__ import annotations

from typing import Final

from tenants.resp import Script

NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

LEASE_MS: Final = 300  # a portion of a counter is its worker's for so long at most

# A refusal for want of what others may hold unused: the ms until they hold it no more. From then on nobody is lent any,
# for a second.
MARKS: Final = f"""
local lease = {LEASE_MS}
local function press(name)
  local marks = KEYS[#KEYS]
  local till = redis.call('HGET', marks, 'u' .. name)
  if not till or tonumber(till) <= now then return 0 end
  redis.call('HSET', marks, 'p' .. name, string.format('%d', now + 1000))
  redis.call('PEXPIRE', marks, 2000)
  return till - now
end
local function lendable(name)
  local till = redis.call('HGET', KEYS[#KEYS], 'p' .. name)
  return not till or tonumber(till) <= now
end
local function lent(name)
  local marks = KEYS[#KEYS]
  if redis.call('HLEN', marks) > 2000 then redis.call('DEL', marks) end
  redis.call('HSET', marks, 'u' .. name, string.format('%d', now + lease))
  redis.call('PEXPIRE', marks, 2000)
end
"""

# A bucket's level now, and the most it may hold: the limit without what may be lent and unused, which is what was lent
# in this stretch of twice a lease's length and in the one before: some of it is given back when the lease is over. Only
# so do a minute's worth and the refill bound what is used in any time.
BUCKET: Final = """
local function level_of(key, limit)
  local kept = redis.call('HMGET', key, 'level', 'at', 'stretch', 'lent', 'before')
  local stretch, lent, before = math.floor(now / (2 * lease)), 0, 0
  if kept[3] then
    if tonumber(kept[3]) >= stretch then
      lent, before = tonumber(kept[4]), tonumber(kept[5])
    elseif kept[3] + 1 == stretch then
      before = tonumber(kept[4])
    end
  end
  local most = limit - lent - before
  local level = most
  if kept[1] then level = math.min(most, kept[1] + math.max(0, now - kept[2]) * limit / 60000) end
  return level, most, stretch, lent, before
end
local function keep_level(key, limit, level)
  local full = math.ceil((limit - level) / limit * 60000)
  redis.call('HSET', key, 'level', string.format('%.6f', level), 'at', string.format('%d', now))
  redis.call('PEXPIRE', key, full + 1000)
  return full
end
"""

# Logs of requests (lists of times) and slots (sorted sets of ids by deadline). `admit` looks at all before it counts in
# any: it returns nothing, or a refusal: what was short, its place, the ms until the next is due, those until nobody
# holds a portion of it. `count` returns of the tightest: limit, remaining, ms until the oldest leaves its window; and
# the times that were entered, by log. Entries that are lent bear the time at which the lease is over, so the latest may
# be of a time to come; a log stays in order nevertheless.
TURNS: Final = """
local function entry(key, at)
  local last = redis.call('LINDEX', key, -1)
  return string.format('%d', math.max(at, math.min(last or 0, now + lease)))
end
local function admit(first, logs, slots, at)
  local wait, place = 0, 0
  for i = 1, slots do
    local key = KEYS[first + logs + i]
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= tonumber(ARGV[at + logs + i]) then
      return {'turns', i, 0, press(key)}
    end
  end
  for i = 1, logs do
    local oldest = redis.call('LINDEX', KEYS[first + i], -ARGV[at + i])
    if oldest and oldest + 60000 - now > wait then wait, place = oldest + 60000 - now, i end
  end
  if wait > 0 then return {'requests', place, wait, press(KEYS[first + place])} end
end
local function count(first, logs, slots, id, held, at)
  local limit, left, reset, made = 0, nil, 0, {}
  for i = 1, logs do
    local key, most = KEYS[first + i], tonumber(ARGV[at + i])
    made[i] = entry(key, now)
    redis.call('RPUSH', key, made[i])
    redis.call('LTRIM', key, -most, -1)
    redis.call('PEXPIRE', key, 60000 + lease)
    local oldest = redis.call('LINDEX', key, 0)
    for _ = 1, 64 do
      if oldest + 60000 > now then break end
      redis.call('LPOP', key)
      oldest = redis.call('LINDEX', key, 0)
    end
    local rest = math.max(0, most - redis.call('LLEN', key))
    if not left or rest < left then limit, left, reset = most, rest, oldest + 60000 - now end
  end
  for i = 1, slots do
    local key = KEYS[first + logs + i]
    redis.call('ZADD', key, now + held, id)
    redis.call('PEXPIRE', key, held)
  end
  return limit, left or 0, reset, unpack(made)
end
"""

# Keys: logs, slots, slots that are given back, marks. Arguments: how many logs, how many slots, turn id, for how
# many ms it holds its slots, the limits in the order of the keys, the ids to be given back in theirs.
# Returns {'ok', limit, remaining, reset in ms} of the tightest log and the times entered, or a refusal.
ADMIT: Final = Script(
    NOW
    + MARKS
    + TURNS
    + """
local logs, slots = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = logs + slots + 1, #KEYS - 1 do redis.call('ZREM', KEYS[i], ARGV[4 + i]) end
local refused = admit(0, logs, slots, 4)
if refused then return refused end
return {'ok', count(0, logs, slots, ARGV[3], tonumber(ARGV[4]), 4)}
"""
)

# Of what a counter has left a worker is lent a sixteenth at most: several take portions of it, and who was lent none
# still finds some. Keys: logs, slots, buckets, marks. Arguments: how many logs, slots, buckets; for how many ms slots
# are held, what their ids begin with; for each log limit and number wanted; for each of the slots limit, number wanted,
# number of the first, and an id that this worker holds or ''; for each bucket limit, tokens wanted, tokens used beyond
# earlier estimates.
# Returns for each log: how many are lent, the time entered for them, remaining, reset in ms; for each of the slots how
# many are lent, -1: whoever holds free ones is to give them back, -2: the store has lost what was held; for each
# bucket: how many are lent, remaining, ms until it is full.
LEND: Final = Script(
    NOW
    + MARKS
    + BUCKET
    + TURNS
    + """
local logs, slots, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found = {}
local function portion(name, left, wanted)
  local amount = math.min(tonumber(wanted), math.floor(left / 16))
  if amount <= 0 or not lendable(name) then return 0 end
  lent(name)
  return amount
end
for i = 1, logs do
  local key, most = KEYS[i], tonumber(ARGV[4 + 2 * i])
  local low, length = 0, redis.call('LLEN', key)
  local high = length
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('LINDEX', key, middle) + 60000 <= now then low = middle + 1 else high = middle end
  end
  if low > 0 then redis.call('LTRIM', key, low, -1) end
  local amount = portion(key, most - length + low, ARGV[5 + 2 * i])
  local made = entry(key, now + lease)
  local entries = {}
  for n = 1, math.min(amount, 1000) do entries[n] = made end
  for n = 1, amount, 1000 do redis.call('RPUSH', key, unpack(entries, 1, math.min(1000, amount - n + 1))) end
  if amount > 0 then redis.call('PEXPIRE', key, 60000 + lease) end
  local oldest = redis.call('LINDEX', key, 0)
  found[#found + 1] = amount
  found[#found + 1] = made
  found[#found + 1] = math.max(0, most - length + low - amount)
  found[#found + 1] = oldest and oldest + 60000 - now or 0
end
local at = 5 + 2 * logs
for i = 1, slots do
  local key = KEYS[logs + i]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  local left = ARGV[at + 1] - redis.call('ZCARD', key)
  if ARGV[at + 4] ~= '' and not redis.call('ZSCORE', key, ARGV[at + 4]) then
    found[#found + 1] = -2
  elseif left < 16 or not lendable(key) then
    found[#found + 1] = -1
  else
    local amount = portion(key, left, ARGV[at + 2])
    for n = tonumber(ARGV[at + 3]), ARGV[at + 3] + amount - 1 do
      redis.call('ZADD', key, now + ARGV[4], ARGV[5] .. string.format('%d', n))
    end
    if amount > 0 then redis.call('PEXPIRE', key, ARGV[4]) end
    lent(key)
    found[#found + 1] = amount
  end
  at = at + 4
end
for i = 1, buckets do
  local key, limit = KEYS[logs + slots + i], tonumber(ARGV[at + 1])
  local level, most, stretch, now_lent, before = level_of(key, limit)
  level = math.min(most, level - ARGV[at + 3])
  local amount = portion(key, level, ARGV[at + 2])
  level = level - amount
  local full = keep_level(key, limit, level)
  if amount > 0 then redis.call('HSET', key, 'stretch', stretch, 'lent', now_lent + amount, 'before', before) end
  found[#found + 1] = amount
  found[#found + 1] = math.max(0, math.floor(level))
  found[#found + 1] = full
  at = at + 3
end
return found
"""
)

# Keys: slots. Arguments: lease in ms, turn ids.
RENEW: Final = Script(
    NOW
    + """
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[index]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)
