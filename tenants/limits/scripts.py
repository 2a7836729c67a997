"""The scripts that set tokens and money aside and charge them: each one step, over all limits of a call, at one shard.

All times are the server's, in milliseconds. Amounts of money are whole millionths; a double, Lua's only number, holds
them exactly up to nine thousand million units."""

from __future__ import annotations

from typing import Final

from tenants.limits.turn_scripts import BUCKET, MARKS, NOW, TURNS
from tenants.resp import Script

HOLD_MS: Final = 900_000  # what is set aside is kept for as long again at least, and twice as long at most
SETTLED_MS: Final = 250  # a turn's completion is durable so long after its charge

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
  local taken = 0
  for made = generation - 1, generation + 1 do  -- another worker's clock may be ahead
    taken = taken + (redis.call('HGET', held, string.format('%d', made) .. '/' .. name) or 0)
  end
  if ARGV[at + 1] ~= '' then left[1] = ARGV[at + 1] - (redis.call('HGET', day, name) or 0) - taken end
  if ARGV[at + 2] ~= '' then left[2] = ARGV[at + 2] - (redis.call('HGET', month, name) or 0) - taken end
  return left[1], left[2]
end
"""

# Keys: buckets, logs, slots, [day, month, held,] slots given back, marks. Arguments: how many buckets, logs, slots and
# subjects with money; id, for how many ms it holds its slots; for each bucket limit, tokens to take, tokens used beyond
# earlier estimates; the limits of logs and slots; [era, generation, amount, for each subject name, day's limit, month's
# limit or '';] ids.
# Returns {'ok', limit, remaining, reset in ms, stale, life of `held`} of the tightest bucket;
# {'tokens', 'requests' or 'turns', place, wait in ms, ms until nobody holds a portion};
# {'money', least left, ms until nobody holds a portion, then place and 1 for the day or 2 for the month of every
# one that has no room}; {'era', 1 the day, 2 the month or 3 both}: what was spent is not known.
RESERVE: Final = Script(
    NOW
    + MARKS
    + BUCKET
    + TURNS
    + MONEY
    + """
local buckets, logs, slots, subjects = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local turns = 6 + 3 * buckets
local money = turns + logs + slots
local cash = buckets + logs + slots
local riders, ids = cash, money
if subjects > 0 then riders, ids = cash + 3, money + 3 + 3 * subjects end
for i = 1, #KEYS - riders - 1 do redis.call('ZREM', KEYS[riders + i], ARGV[ids + i]) end
local levels, wait, short = {}, 0, 0
for i = 1, buckets do
  local at = 6 + 3 * (i - 1)
  local limit, amount = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local rate = limit / 60000
  local level, most = level_of(KEYS[i], limit)
  levels[i] = math.min(most, level - ARGV[at + 3])
  local lacking = math.min(amount, limit) - levels[i]
  if lacking > 0 and lacking / rate > wait then wait, short = lacking / rate, i end
end
local function keep(taken)
  local most, left, reset = 0, nil, 0
  for i = 1, buckets do
    local at = 6 + 3 * (i - 1)
    local limit = tonumber(ARGV[at + 1])
    local level = levels[i] - taken * ARGV[at + 2]
    local full = keep_level(KEYS[i], limit, level)
    if not left or level < left then most, left, reset = limit, level, full end
  end
  return most, math.max(0, math.floor(left or 0)), reset
end
if short > 0 then
  keep(0)
  return {'tokens', short, math.ceil(wait), press(KEYS[short])}
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
    local after = 0
    for place = 1, #refusals, 2 do
      after = math.max(after, press(ARGV[money + 1 + 3 * refusals[place]]))
    end
    return {'money', string.format('%.0f', least), after, unpack(refusals)}
  end
end
local refused = admit(buckets, logs, slots, turns)
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
# Returns what of it was set aside (all, or as much as there is; -1: what was spent is not known), the life of `held`,
# stale.
EXTEND: Final = Script(
    NOW
    + MONEY
    + """
if lost(KEYS[1], KEYS[2], ARGV[1]) > 0 then return {'-1', '', 0} end
local stale = sweep(KEYS[3], ARGV[2])
local granted = tonumber(ARGV[3])
for at = 4, #ARGV, 3 do
  local day, month = spare(KEYS[1], KEYS[2], KEYS[3], ARGV[2], at)
  granted = math.min(granted, day or granted, month or granted)
end
if granted <= 0 then return {'0', '', stale} end
local amount = string.format('%.0f', granted)
for at = 4, #ARGV, 3 do redis.call('HINCRBY', KEYS[3], ARGV[2] .. '/' .. ARGV[at], amount) end
return {amount, life(KEYS[3]), stale}
"""
)

# A portion for calls to come. Keys: day, month, held, marks. Arguments as of EXTEND.
# Returns what was set aside, at most a sixteenth of what any budget has left, '0' where that is an eighth of what is
# wanted or less; and the life of `held`.
LEND_MONEY: Final = Script(
    NOW
    + MARKS
    + MONEY
    + """
if lost(KEYS[1], KEYS[2], ARGV[1]) > 0 or redis.call('HGET', KEYS[3], '!g') ~= ARGV[2] then return {'0', ''} end
local wanted = tonumber(ARGV[3])
local granted = wanted
for at = 4, #ARGV, 3 do
  local day, month = spare(KEYS[1], KEYS[2], KEYS[3], ARGV[2], at)
  local least = math.min(day or month or 0, month or day or 0)
  if not lendable(ARGV[at]) then return {'0', ''} end
  granted = math.min(granted, math.floor(least / 16))
end
if granted * 8 <= wanted then return {'0', ''} end
local amount = string.format('%.0f', granted)
for at = 4, #ARGV, 3 do
  redis.call('HINCRBY', KEYS[3], ARGV[2] .. '/' .. ARGV[at], amount)
  lent(ARGV[at])
end
return {amount, life(KEYS[3])}
"""
)

# Keys: day, month, held, what comes in while the day and the month are rebuilt. Arguments: era, the ms since the
# charges were made, how many subjects, for each name, cost, day's limit, month's limit or ''; then fields of `held`,
# what is taken from each, and the life it was set aside in.
# Returns 1 where the counts are of another life or missing, else 0; then for every limit that is used to four fifths or
# whole for the first time: name, 1 for the day or 2 for the month, percent, spent, limit.
CHARGE: Final = Script(
    NOW
    + """
local made, told = now - ARGV[2], {0}
for kind = 1, 2 do
  local key, late = KEYS[kind], KEYS[kind + 3]
  local facts = redis.call('HMGET', key, '!era', '!t0', '!b')
  if facts[1] ~= ARGV[1] then told[1] = 1 end
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
