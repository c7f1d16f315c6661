-- Whether a CA may be asked now. Returns when to ask again ('': now), 1 if that is the end of a cooldown, and then its problem.
-- args: now, seconds (of one step), burst_seconds, longest (cooldown), trial (seconds that one caller may take to try)
local now, one = tonumber(arg.now), tonumber(arg.seconds)
local held = redis.call('HMGET', key.health, 'until', 'problem')
local cooldown_until = tonumber(held[1] or 0)
if cooldown_until > now and cooldown_until <= now + tonumber(arg.longest) then
  return {string.format('%.3f', cooldown_until), 1, held[2] or ''}
end
if cooldown_until > 0 then
  redis.call('HSET', key.health, 'until', string.format('%.3f', now + arg.trial), 'is_trial', 1)
end
if one > 0 then
  local burst_seconds = tonumber(arg.burst_seconds)
  local spent = earned_back(key.pace, now, burst_seconds) + one
  if spent > now + burst_seconds + 0.001 then return {string.format('%.3f', spent - burst_seconds), 0, ''} end
  spend(key.pace, spent, burst_seconds)
end
return {'', 0, ''}
