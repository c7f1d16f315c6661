-- End a cooldown before its time, so that one caller may try the CA. Returns 1; 0 if the CA has another cooldown by now.
-- args: now, cooldown_until (as text)
if redis.call('HGET', key.health, 'until') ~= arg.cooldown_until then return 0 end
redis.call('HSET', key.health, 'until', string.format('%.3f', arg.now - 0.001))
return 1
