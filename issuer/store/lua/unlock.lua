-- Release a lock, if the holder still has it. args: holder
if redis.call('GET', key.lock) == arg.holder then redis.call('DEL', key.lock) end
