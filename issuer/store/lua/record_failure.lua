-- Count a failure of a CA. Returns the end of its cooldown, '' if it has none.
-- args: now, asked_for ('' or an end), failures (that lead to a cooldown), first, longest (seconds of these cooldowns),
-- longest_of_all, is_fixed ('1': it must not end before its time), problem (JSON or '')
local now, longest = tonumber(arg.now), tonumber(arg.longest_of_all)
local held = redis.call('HMGET', key.health, 'until', 'is_trial', 'rests')
local cooldown_until, cooldowns = tonumber(held[1] or 0), tonumber(held[3] or 0)
-- During a cooldown only the failure of the trial counts: the others had asked before it began. An end too far in the
-- future was set before the clock was set back.
if cooldown_until > now and cooldown_until <= now + longest and not held[2] then
  return string.format('%.3f', cooldown_until)
end
local failures = redis.call('HINCRBY', key.health, 'failures', 1)
redis.call('EXPIRE', key.health, 86400)
if failures < tonumber(arg.failures) and cooldowns == 0 then return '' end
local asked_for = tonumber(arg.asked_for ~= '' and arg.asked_for or now) - now
local seconds = math.min(math.max(arg.first * 2 ^ math.min(cooldowns, 20), asked_for), tonumber(arg.longest))
cooldown_until = string.format('%.3f', now + seconds)
redis.call('HSET', key.health, 'until', cooldown_until, 'rests', cooldowns + 1, 'failed_at', arg.now)
redis.call('HSET', key.health, 'is_fixed', arg.is_fixed, 'problem', arg.problem)
redis.call('HSETNX', key.health, 'since', arg.now)
redis.call('HDEL', key.health, 'is_trial')
redis.call('DEL', key.back) -- whoever waits goes on waiting
return cooldown_until
