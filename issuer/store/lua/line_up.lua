-- Move the renewals that are due from their due index to the index of those that wait for their turn, by urgency.
-- args: now, limit, records (what the keys of records start with)
local names = redis.call('ZRANGEBYSCORE', key.renew, '-inf', arg.now, 'LIMIT', 0, arg.limit)
for _, name in ipairs(names) do
  local urgent_by = redis.pcall('HGET', arg.records .. name, 'urgent_by') -- of a damaged record: an error, or no number
  urgent_by = type(urgent_by) == 'string' and tonumber(urgent_by) or 0
  redis.call('ZADD', key.ready, urgent_by == urgent_by and urgent_by or 0, name)
  redis.call('ZREM', key.renew, name)
end
return #names
