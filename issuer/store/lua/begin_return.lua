-- Let the names that wait for a CA be woken, if it has no cooldown. args: now
if redis.call('HEXISTS', key.health, 'until') == 1 then return 0 end
redis.call('DEL', key.back)
redis.call('HSET', key.back, 'at', arg.now)
return redis.call('EXPIRE', key.back, 3600)
