-- Claim the most urgent renewals: as many as the pace allows since the last call, with at most at_once open.
-- args: now, requeue_at, limit, per_second, burst_seconds, at_once
local refusal = foreign()
if refusal then return refusal end
local now, per_second, burst_seconds = tonumber(arg.now), tonumber(arg.per_second), tonumber(arg.burst_seconds)
local spent = earned_back(key.pace, now, burst_seconds)
local earned = math.floor((now + burst_seconds - spent + 0.001) * per_second)
local room = tonumber(arg.at_once) - redis.call('ZCOUNT', key.renewals, '-inf', arg.requeue_at)
local count = math.min(earned, room, tonumber(arg.limit))
if count < 1 then return {} end
local names = redis.call('ZRANGE', key.ready, 0, count - 1)
if #names == 0 then return {} end
for _, name in ipairs(names) do
  redis.call('ZREM', key.ready, name)
  redis.call('ZADD', key.renew, arg.requeue_at, name)
end
spend(key.pace, spent + #names / per_second, burst_seconds)
return names
