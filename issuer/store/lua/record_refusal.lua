-- Note that a CA has refused an order because of a rate limit. args: now, until, name, domain (the registered one)
local function note(index, member)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', arg.now)
  redis.call('ZADD', index, arg['until'], member)
  redis.call('EXPIRE', index, 7 * 86400)
end
note(key.refused_names, arg.name)
note(key.refused_domains, arg.domain)
