-- Keep a lock for some time from now; 0 if the holder has lost it. args: holder, seconds
if redis.call('GET', key.lock) == arg.holder then return redis.call('EXPIRE', key.lock, arg.seconds) end
return 0
