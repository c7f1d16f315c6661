-- End a lock by whoever holds it. args: holder
if redis.call('GET', key.lock) == arg.holder then redis.call('DEL', key.lock) end
