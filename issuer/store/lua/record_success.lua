-- Forget the failures of a CA. Returns 1 if that ends a cooldown: then its waiting names are to be woken. args: now
local is_return = redis.call('HEXISTS', key.health, 'until')
redis.call('DEL', key.health)
if is_return == 1 then
  redis.call('DEL', key.back)
  redis.call('HSET', key.back, 'at', arg.now)
  redis.call('EXPIRE', key.back, 3600)
end
return is_return
