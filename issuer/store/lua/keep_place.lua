-- Note how far the waking of a CA's waiting names has come ('': it is done), unless the CA has returned anew since.
-- args: at, place
if redis.call('HGET', key.back, 'at') ~= arg.at then return 0 end
if arg.place == '' then return redis.call('DEL', key.back) end
redis.call('EXPIRE', key.back, 3600)
return redis.call('HSET', key.back, 'place', arg.place)
