-- Spend the cost of all quotas, or nothing of any if one has no room. Returns '', or when there is room.
-- keys: refused_names (below the registered domain), refused_domains, quota1, quota2, …
-- args: now, name, many_names, many_domains, quotas (how many), for each seconds1, burst1, cost1, reserve1, …
local now, room_at = tonumber(arg.now), 0
local function refused(index, member, many)
  local own = tonumber(member and redis.call('ZSCORE', index, member) or 0)
  if own > now then room_at = math.max(room_at, own) end
  local others = redis.call('ZRANGEBYSCORE', index, '(' .. arg.now, '+inf', 'WITHSCORES')
  if #others / 2 >= tonumber(many) then room_at = math.max(room_at, tonumber(others[2])) end
end
if key.refused_names then
  refused(key.refused_names, arg.name, arg.many_names)
  refused(key.refused_domains, false, arg.many_domains)
end
local spents = {}
for i = 1, tonumber(arg.quotas) do
  local seconds, burst, cost = tonumber(arg['seconds' .. i]), tonumber(arg['burst' .. i]), tonumber(arg['cost' .. i])
  local spent = earned_back(key['quota' .. i], now, seconds * burst)
  local after = spent + seconds * (math.max(cost, 1) + arg['reserve' .. i])
  if after > now + seconds * burst + 0.01 then room_at = math.max(room_at, after - seconds * burst) end
  spents[i] = cost > 0 and spent + seconds * cost or 0
end
if room_at > 0 then return string.format('%.3f', room_at) end
for i, spent in ipairs(spents) do
  if spent > now then spend(key['quota' .. i], spent, arg['seconds' .. i] * arg['burst' .. i]) end
end
return ''
