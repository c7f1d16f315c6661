-- One hash a domain: domain, issuance (JSON), id (of the issuance), version, lease_until, begun.
-- The sorted set `open` holds the id of every open issuance by the time when it must be looked at again.
-- Times come from the caller's clock, so that a test can move it.

-- script: open
-- KEYS domain, open · ARGV version, domain, issuance, id, look_again_at
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if version ~= ARGV[1] then return 0 end
local old = redis.call('HGET', KEYS[1], 'id')
-- HSET first: a Redis without memory refuses it, and then nothing has been written.
redis.call('HSET', KEYS[1], 'domain', ARGV[2], 'issuance', ARGV[3], 'id', ARGV[4], 'begun', 0)
if old then redis.call('ZREM', KEYS[2], old) end
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
return redis.call('HINCRBY', KEYS[1], 'version', 1)

-- script: take
-- KEYS domain, open · ARGV id, now, until
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return false
end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return false end
if tonumber(redis.call('HGET', KEYS[1], 'lease_until') or 0) > tonumber(ARGV[2]) then return false end
redis.call('HSET', KEYS[1], 'lease_until', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HINCRBY', KEYS[1], 'begun', 1)
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return redis.call('HGETALL', KEYS[1])

-- script: save
-- KEYS domain · ARGV id, version, domain, issuance
local held = redis.call('HMGET', KEYS[1], 'id', 'version')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'domain', ARGV[3], 'issuance', ARGV[4])
return redis.call('HINCRBY', KEYS[1], 'version', 1)

-- script: release
-- KEYS domain, open · ARGV id, version, domain, issuance, begun, look_again_at ('' closes)
local held = redis.call('HMGET', KEYS[1], 'id', 'version')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'domain', ARGV[3], 'issuance', ARGV[4], 'lease_until', 0, 'begun', ARGV[5])
if ARGV[6] == '' then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], ARGV[6], ARGV[1]) end
return redis.call('HINCRBY', KEYS[1], 'version', 1)

-- script: claim_due
-- KEYS open · ARGV now, limit, look_again_at
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], ARGV[3], id) end
return ids

-- script: keep_ca_account
-- KEYS account · ARGV expected ('' for none), new
local current = redis.call('GET', KEYS[1]) or ''
if current == '' or current == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return ARGV[2] end
return current
