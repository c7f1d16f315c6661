-- Keep and count a refused request. args: name, text, at, old (those up to then are dropped), most (of an account),
-- seconds (how long the keys stay), counter
local refusal = foreign()
if refusal then return refusal end
redis.call('ZADD', key.times, arg.at, arg.name)
redis.call('HSET', key.texts, arg.name, arg.text)
local dropped = redis.call('ZRANGEBYSCORE', key.times, '-inf', arg.old)
if #dropped == 0 then dropped = redis.call('ZRANGE', key.times, 0, -tonumber(arg.most) - 1) end
for _, name in ipairs(dropped) do
  redis.call('ZREM', key.times, name)
  redis.call('HDEL', key.texts, name)
end
redis.call('EXPIRE', key.times, arg.seconds)
redis.call('EXPIRE', key.texts, arg.seconds)
redis.pcall('HINCRBYFLOAT', key.metrics, arg.counter, 1)
return 1
