-- Claim names for which something is due: each is put off until requeue_at. args: now, limit, requeue_at
local refusal = foreign()
if refusal then return refusal end
local names = redis.call('ZRANGEBYSCORE', key.due, '-inf', arg.now, 'LIMIT', 0, arg.limit)
for _, name in ipairs(names) do redis.call('ZADD', key.due, arg.requeue_at, name) end
return names
