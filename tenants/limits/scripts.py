"""The scripts that admit turns and set tokens and money aside: each one step, over all limits of a turn, at one shard.

All times are the server's, in milliseconds. Amounts of money are whole millionths; a double, Lua's only number, holds
them exactly up to nine thousand million units."""

from __future__ import annotations

from typing import Final

from tenants.resp import Script

NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
HOLD_MS: Final = 900_000  # what is set aside is kept for as long again at least, and twice as long at most
SETTLED_MS: Final = 250  # a turn's completion is durable so long after its charge

# Logs of requests (lists of times) and slots (sorted sets of ids by deadline). `admit` looks at all before it counts in
# any: it returns nothing, or a refusal: what was short, its place, the ms until the next is due.
# `tightest` is of what was counted: limit, remaining, ms until the oldest leaves its window.
TURNS: Final = """
local function admit(first, logs, slots, id, lease, at)
  local wait, place = 0, 0
  for i = 1, slots do
    local key = KEYS[first + logs + i]
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= tonumber(ARGV[at + logs + i]) then return {'turns', i, 0} end
  end
  for i = 1, logs do
    local oldest = redis.call('LINDEX', KEYS[first + i], -ARGV[at + i])
    if oldest and oldest + 60000 - now > wait then wait, place = oldest + 60000 - now, i end
  end
  if wait > 0 then return {'requests', place, wait} end
end
local function count(first, logs, slots, id, lease, at)
  local limit, left, reset = 0, nil, 0
  for i = 1, logs do
    local key, most = KEYS[first + i], tonumber(ARGV[at + i])
    redis.call('RPUSH', key, string.format('%d', now))
    redis.call('LTRIM', key, -most, -1)
    redis.call('PEXPIRE', key, 60000)
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
    redis.call('ZADD', key, now + lease, id)
    redis.call('PEXPIRE', key, lease)
  end
  return limit, left or 0, reset
end
"""

# Keys: logs, slots, slots that are given back. Arguments: how many logs, how many slots, turn id, lease in ms, the
# limits in the order of the keys, the ids to be given back in theirs.
# Returns {'ok', limit, remaining, reset in ms} of the tightest log, or a refusal.
ADMIT: Final = Script(
    NOW
    + TURNS
    + """
local logs, slots, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
for i = logs + slots + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[4 + i]) end
local refused = admit(0, logs, slots, ARGV[3], lease, 4)
if refused then return refused end
return {'ok', count(0, logs, slots, ARGV[3], lease, 4)}
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

# Money: a hash a period with what was spent by subject, and its own facts: `!era` the life of the server that it was
# begun in, `!t0` since when it is kept by charges alone, `!b` who rebuilds it since `!bt`, `!w` and a subject's name
# how far that was warned of. Another hash, `held`, has what is set aside, by the generation in which that was and the
# subject; `!g` is the generation it was last swept in, `!id` names its life: what was set aside in another one is gone.
# `spare` says what the subject may still set aside and how much each of its limits lacks of the amount.
MONEY: Final = """
local function life(held)
  local id = redis.call('HGET', held, '!id')
  if not id then
    id = string.format('%d', now)
    redis.call('HSET', held, '!id', id)
  end
  return id
end
local function sweep(held, generation)
  if redis.call('HGET', held, '!g') == generation then return 0 end
  local stale, kept = 0, redis.call('HGETALL', held)
  for i = 1, #kept, 2 do
    local made = tonumber(string.match(kept[i], '^(%d+)/'))
    if made and made < generation - 1 then
      redis.call('HDEL', held, kept[i])
      stale = 1
    end
  end
  redis.call('HSET', held, '!g', generation)
  redis.call('PEXPIRE', held, 172800000)
  return stale
end
local function lost(day, month, era)
  local found = 0
  if redis.call('HGET', day, '!era') ~= era then found = 1 end
  if redis.call('HGET', month, '!era') ~= era then found = found + 2 end
  return found
end
local function spare(day, month, held, generation, at)
  local name, left = ARGV[at], {false, false}
  local aside = redis.call('HMGET', held, generation .. '/' .. name, (generation - 1) .. '/' .. name)
  local taken = (aside[1] or 0) + (aside[2] or 0)
  if ARGV[at + 1] ~= '' then left[1] = ARGV[at + 1] - (redis.call('HGET', day, name) or 0) - taken end
  if ARGV[at + 2] ~= '' then left[2] = ARGV[at + 2] - (redis.call('HGET', month, name) or 0) - taken end
  return left[1], left[2]
end
"""

# Keys: buckets, logs, slots, [day, month, held,] slots given back. Arguments: how many buckets, logs, slots and
# subjects with money; id, lease in ms; for each bucket limit, tokens to take, tokens used beyond earlier estimates;
# the limits of logs and slots; [era, generation, amount, for each subject name, day's limit, month's limit or '';] ids.
# Returns {'ok', limit, remaining, reset in ms, stale, life of `held`} of the tightest bucket;
# {'tokens', place, wait in ms};
# {'requests' or 'turns', place, wait}; {'money', least left, then place and 1 for the day or 2 for the month of every
# one that has no room}; {'era', 1 the day, 2 the month or 3 both}: what was spent is not known.
RESERVE: Final = Script(
    NOW
    + TURNS
    + MONEY
    + """
local buckets, logs, slots, subjects = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local turns = 6 + 3 * buckets
local money = turns + logs + slots
local cash = buckets + logs + slots
local riders, ids = cash, money
if subjects > 0 then riders, ids = cash + 3, money + 3 + 3 * subjects end
for i = 1, #KEYS - riders do redis.call('ZREM', KEYS[riders + i], ARGV[ids + i]) end
local levels, wait, short = {}, 0, 0
for i = 1, buckets do
  local at = 6 + 3 * (i - 1)
  local limit, amount = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local rate = limit / 60000
  local kept = redis.call('HMGET', KEYS[i], 'level', 'at')
  local level = limit
  if kept[1] then level = math.min(limit, kept[1] + math.max(0, now - kept[2]) * rate) end
  levels[i] = math.min(limit, level - ARGV[at + 3])
  local lacking = math.min(amount, limit) - levels[i]
  if lacking > 0 and lacking / rate > wait then wait, short = lacking / rate, i end
end
local function keep(taken)
  local most, left, reset = 0, nil, 0
  for i = 1, buckets do
    local at = 6 + 3 * (i - 1)
    local limit = tonumber(ARGV[at + 1])
    local level = levels[i] - taken * ARGV[at + 2]
    local full = math.ceil((limit - level) / limit * 60000)
    redis.call('HSET', KEYS[i], 'level', string.format('%.6f', level), 'at', string.format('%d', now))
    redis.call('PEXPIRE', KEYS[i], full + 1000)
    if not left or level < left then most, left, reset = limit, level, full end
  end
  return most, math.max(0, math.floor(left or 0)), reset
end
if short > 0 then
  keep(0)
  return {'tokens', short, math.ceil(wait)}
end
local stale = 0
if subjects > 0 then
  local day, month, held = KEYS[cash + 1], KEYS[cash + 2], KEYS[cash + 3]
  local era, generation, amount = ARGV[money + 1], ARGV[money + 2], tonumber(ARGV[money + 3])
  local away = lost(day, month, era)
  if away > 0 then
    keep(0)
    return {'era', away}
  end
  stale = sweep(held, generation)
  local least, refusals = nil, {}
  for i = 1, subjects do
    local left = {spare(day, month, held, generation, money + 1 + 3 * i)}
    for kind = 1, 2 do
      if left[kind] then
        if not least or left[kind] < least then least = left[kind] end
        if left[kind] < amount or left[kind] <= 0 then
          refusals[#refusals + 1] = i
          refusals[#refusals + 1] = kind
        end
      end
    end
  end
  if #refusals > 0 and amount > 0 then
    keep(0)
    return {'money', string.format('%.0f', least), unpack(refusals)}
  end
end
local refused = admit(buckets, logs, slots, ARGV[5], tonumber(ARGV[6]), turns)
if refused then
  keep(0)
  return refused
end
count(buckets, logs, slots, ARGV[5], tonumber(ARGV[6]), turns)
if subjects > 0 and tonumber(ARGV[money + 3]) > 0 then
  for i = 1, subjects do
    redis.call('HINCRBY', KEYS[cash + 3], ARGV[money + 2] .. '/' .. ARGV[money + 1 + 3 * i], ARGV[money + 3])
  end
end
local limit, left, reset = keep(1)
return {'ok', limit, left, reset, stale, subjects > 0 and life(KEYS[cash + 3]) or ''}
"""
)

# Keys: day, month, held. Arguments: era, generation, amount wanted, for each subject name, day's limit, month's limit.
# Returns what of it was set aside (all, or as much as there is; -1: what was spent is not known), the life of `held`.
EXTEND: Final = Script(
    NOW
    + MONEY
    + """
if lost(KEYS[1], KEYS[2], ARGV[1]) > 0 then return {'-1', ''} end
sweep(KEYS[3], ARGV[2])
local granted = tonumber(ARGV[3])
for at = 4, #ARGV, 3 do
  local day, month = spare(KEYS[1], KEYS[2], KEYS[3], ARGV[2], at)
  granted = math.min(granted, day or granted, month or granted)
end
if granted <= 0 then return {'0', ''} end
local amount = string.format('%.0f', granted)
for at = 4, #ARGV, 3 do redis.call('HINCRBY', KEYS[3], ARGV[2] .. '/' .. ARGV[at], amount) end
return {amount, life(KEYS[3])}
"""
)

# Keys: day, month, held, what comes in while the day and the month are rebuilt. Arguments: era, the ms since the
# charges were made, how many subjects, for each name, cost, day's limit, month's limit or ''; then fields of `held`,
# what is taken from each, and the life it was set aside in.
# Returns for every limit that is used to four fifths or whole for the first time: name, 1 for the day or 2 for the
# month, percent, spent, limit.
CHARGE: Final = Script(
    NOW
    + """
local made, told = now - ARGV[2], {}
for kind = 1, 2 do
  local key, late = KEYS[kind], KEYS[kind + 3]
  local facts = redis.call('HMGET', key, '!era', '!t0', '!b')
  local counts = facts[1] == ARGV[1] and made >= (facts[2] or 0) - """
    + str(SETTLED_MS)
    + """
  for i = 1, ARGV[3] do
    local at = 4 * i
    local name, cost = ARGV[at], ARGV[at + 1]
    if facts[3] and cost ~= '0' then
      redis.call('HINCRBY', late, math.floor(made / """
    + str(SETTLED_MS)
    + """) .. '/' .. name, cost)
      redis.call('PEXPIRE', late, 60000)
    end
    if counts then
      local spent = redis.call('HINCRBY', key, name, cost)
      local limit = tonumber(ARGV[at + 1 + kind])
      if limit and spent >= 0.8 * limit then
        local percent = spent >= limit and 100 or 80
        if tonumber(redis.call('HGET', key, '!w' .. name) or 0) < percent then
          redis.call('HSET', key, '!w' .. name, percent)
          for _, fact in ipairs({name, kind, percent, string.format('%.0f', spent), ARGV[at + 1 + kind]}) do
            told[#told + 1] = fact
          end
        end
      end
    end
  end
end
local life = redis.call('HGET', KEYS[3], '!id')
for at = 4 * ARGV[3] + 4, #ARGV, 3 do
  if ARGV[at + 2] == life and redis.call('HINCRBY', KEYS[3], ARGV[at], -ARGV[at + 1]) <= 0 then
    redis.call('HDEL', KEYS[3], ARGV[at])
  end
end
return told
"""
)

# Of one period. Keys: the hash, what comes in meanwhile. Arguments: era, token of the worker, 1: though it is known,
# ms that the hash is kept. Returns 'known', 'busy': another worker is at it, or 'go'.
BEGIN: Final = Script(
    NOW
    + """
local facts = redis.call('HMGET', KEYS[1], '!era', '!b', '!bt')
if facts[1] == ARGV[1] and ARGV[3] == '0' then return 'known' end
if facts[2] and facts[2] ~= ARGV[2] and now - facts[3] < 5000 then return 'busy' end
redis.call('HSET', KEYS[1], '!b', ARGV[2], '!bt', string.format('%d', now))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('UNLINK', KEYS[2])
return 'go'
"""
)

# Keys: the hash. Arguments: token. Returns the time, at which all that was charged before is recorded.
LOOK: Final = Script(
    NOW
    + """
if redis.call('HGET', KEYS[1], '!b') ~= ARGV[1] then return '' end
local text = string.format('%d', now)
redis.call('HSET', KEYS[1], '!bt', text)
return text
"""
)

# Keys: the hash, what came in meanwhile, the new hash with what is recorded. Arguments: era, token, the time of LOOK,
# 1: though there were charges at that time, ms that the hash is kept. Returns 'done', 'again' or 'lost'.
FINISH: Final = Script(
    """
if redis.call('HGET', KEYS[1], '!b') ~= ARGV[2] then
  redis.call('UNLINK', KEYS[3])
  return 'lost'
end
local first, late = math.floor((ARGV[3] - """
    + str(SETTLED_MS)
    + ") / "
    + str(SETTLED_MS)
    + """), redis.call('HGETALL', KEYS[2])
local more = {}
for i = 1, #late, 2 do
  local bucket, name = string.match(late[i], '^(%d+)/(.*)$')
  if tonumber(bucket) >= first then more[#more + 1] = {name, late[i + 1]} end
end
if #more > 0 and ARGV[4] == '0' then
  redis.call('UNLINK', KEYS[3])
  return 'again'
end
for _, each in ipairs(more) do redis.call('HINCRBY', KEYS[3], each[1], each[2]) end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == '!w' then redis.call('HSET', KEYS[3], field, redis.call('HGET', KEYS[1], field)) end
end
redis.call('HSET', KEYS[3], '!era', ARGV[1], '!t0', ARGV[3])
redis.call('UNLINK', KEYS[2])
redis.call('RENAME', KEYS[3], KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 'done'
"""
)
