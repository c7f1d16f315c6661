-- A domain is one hash: domain, issuance (JSON), id (of the issuance), version, lease_until, begun; and, for the scripts
-- below and for looking at many at once, urgent_by, ca and served (what the edges have to do with).
-- An due_index is a sorted set of names by due time; `ready` holds the renewals that are due and wait for their turn, by
-- urgency. Times come from the caller's clock, so that a test can move it.

-- script: shared
-- Put a record into its due indexes: keys from KEYS[key], a time each from ARGV[arg], '' for none.
local function place(name, key, arg)
  for i = 0, #KEYS - key do
    if ARGV[arg + i] == '' then redis.call('ZREM', KEYS[key + i], name)
    else redis.call('ZADD', KEYS[key + i], ARGV[arg + i], name) end
  end
end
-- Tell the edges of a record whose `served` has changed.
local function announce(domain, name, served)
  if (redis.call('HGET', domain, 'served') or '') == served then return end
  redis.call('HSET', domain, 'served', served)
  redis.call('XADD', 'issuer:changes', 'MAXLEN', '~', 100000, '*', 'name', name, 'served', served)
end
-- GCRA: what has been spent, as the moment when all of it is earned back, to the millisecond. One that lies further off
-- than a whole burst comes from before the clock was set back.
local function spend(key, spent, burst_seconds)
  redis.call('SET', key, string.format('%.3f', spent), 'EX', 2 * math.ceil(burst_seconds))
end
local function earned_back(key, now, burst_seconds)
  local spent = math.max(tonumber(redis.call('GET', key) or 0), now)
  if spent <= now + burst_seconds + 0.01 then return spent end
  spend(key, now + burst_seconds, burst_seconds)
  return now + burst_seconds
end

-- script: open
-- KEYS domain, quota, due indexes… · ARGV name, version, id, domain, issuance, urgent_by, ca, served, now, quota's seconds
-- for one, its burst ('0' for no quota), times… · answers the new version, 0 for a conflict, or when the quota has one
-- again
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[2] then return 0 end
local now, seconds, burst = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
if burst > 0 then
  local spent = earned_back(KEYS[2], now, seconds * burst) + seconds
  if spent > now + seconds * burst + 0.01 then return string.format('%.3f', spent - seconds * burst) end
  spend(KEYS[2], spent, seconds * burst)
end
-- HSET before the rest: a Redis without memory refuses it, and then no half of a record has been written.
local is_new = redis.call('HGET', KEYS[1], 'id') ~= ARGV[3]
redis.call('HSET', KEYS[1], 'domain', ARGV[4], 'issuance', ARGV[5], 'id', ARGV[3], 'begun', 0,
  'urgent_by', ARGV[6], 'ca', ARGV[7])
if is_new then redis.call('HSET', KEYS[1], 'lease_until', 0) end -- who holds it works on what is no more
place(ARGV[1], 3, 12)
announce(KEYS[1], ARGV[1], ARGV[8])
return redis.call('HINCRBY', KEYS[1], 'version', 1)

-- script: lease
-- KEYS domain, the due indexes of open issuances… · ARGV name, id, now, until
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[2] then return false end
local queue
for i = 2, #KEYS do if redis.call('ZSCORE', KEYS[i], ARGV[1]) then queue = KEYS[i] end end
if not queue then return false end
if tonumber(redis.call('HGET', KEYS[1], 'lease_until') or 0) > tonumber(ARGV[3]) then return false end
redis.call('HSET', KEYS[1], 'lease_until', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HINCRBY', KEYS[1], 'begun', 1)
redis.call('ZADD', queue, ARGV[4], ARGV[1])
return redis.call('HGETALL', KEYS[1])

-- script: save
-- KEYS domain · ARGV id, version, domain, issuance
local held = redis.call('HMGET', KEYS[1], 'id', 'version')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'domain', ARGV[3], 'issuance', ARGV[4])
return redis.call('HINCRBY', KEYS[1], 'version', 1)

-- script: save_and_release
-- KEYS domain, due indexes… · ARGV name, version, id, domain, issuance, urgent_by, ca, served, begun, times…
local held = redis.call('HMGET', KEYS[1], 'id', 'version')
if held[1] ~= ARGV[3] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'domain', ARGV[4], 'issuance', ARGV[5], 'lease_until', 0, 'begun', ARGV[9],
  'urgent_by', ARGV[6], 'ca', ARGV[7])
place(ARGV[1], 2, 10)
announce(KEYS[1], ARGV[1], ARGV[8])
return redis.call('HINCRBY', KEYS[1], 'version', 1)

-- script: amend
-- KEYS domain, due indexes but those of open issuances… · ARGV name, version, domain, issuance, urgent_by, ca, served, now,
-- times…
local held = redis.call('HMGET', KEYS[1], 'version', 'lease_until')
if held[1] ~= ARGV[2] or tonumber(held[2] or 0) > tonumber(ARGV[8]) then return 0 end
redis.call('HSET', KEYS[1], 'domain', ARGV[3], 'issuance', ARGV[4], 'urgent_by', ARGV[5], 'ca', ARGV[6])
place(ARGV[1], 2, 9)
announce(KEYS[1], ARGV[1], ARGV[7])
return redis.call('HINCRBY', KEYS[1], 'version', 1)

-- script: forget
-- KEYS domain, due indexes… · ARGV name, version, id
local held = redis.call('HMGET', KEYS[1], 'id', 'version')
if held[1] ~= ARGV[3] or held[2] ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end
return 1

-- script: claim
-- KEYS due_index · ARGV now, limit, requeue_at
local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do redis.call('ZADD', KEYS[1], ARGV[3], name) end
return names

-- script: line_up
-- KEYS renew, ready · ARGV now, limit, prefix of domains' keys
local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  redis.call('ZADD', KEYS[2], redis.call('HGET', ARGV[3] .. name, 'urgent_by') or 0, name)
  redis.call('ZREM', KEYS[1], name)
end
return #names

-- script: claim_renewals
-- KEYS ready, renew, open renewals, pace · ARGV now, requeue_at, limit, per second, burst's seconds, at once
local now, per_second, burst_seconds = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
local spent = earned_back(KEYS[4], now, burst_seconds)
local earned = math.floor((now + burst_seconds - spent + 0.001) * per_second)
local room = tonumber(ARGV[6]) - redis.call('ZCOUNT', KEYS[3], '-inf', ARGV[2])
local count = math.min(earned, room, tonumber(ARGV[3]))
if count < 1 then return {} end
local names = redis.call('ZRANGE', KEYS[1], 0, count - 1)
if #names == 0 then return {} end
for _, name in ipairs(names) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('ZADD', KEYS[2], ARGV[2], name)
end
spend(KEYS[4], spent + #names / per_second, burst_seconds)
return names

-- script: keep_ca_account
-- KEYS account · ARGV expected ('' for none), new
local current = redis.call('GET', KEYS[1]) or ''
if current == '' or current == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return ARGV[2] end
return current

-- script: unlock
-- KEYS lock · ARGV what it was locked with
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end

-- script: ask
-- KEYS rest, pace · ARGV now, seconds of one step, burst's seconds, longest rest, seconds of a trial
-- answers when to ask again ('' at once), and 1 where that is a rest
local now, one = tonumber(ARGV[1]), tonumber(ARGV[2])
local rests_until = tonumber(redis.call('HGET', KEYS[1], 'until') or 0)
if rests_until > now and rests_until <= now + tonumber(ARGV[4]) then return {string.format('%.3f', rests_until), 1} end
if rests_until > 0 then redis.call('HSET', KEYS[1], 'until', string.format('%.3f', now + ARGV[5]), 'is_trial', 1) end
if one > 0 then
  local burst_seconds = tonumber(ARGV[3])
  local spent = earned_back(KEYS[2], now, burst_seconds) + one
  if spent > now + burst_seconds + 0.001 then return {string.format('%.3f', spent - burst_seconds), 0} end
  spend(KEYS[2], spent, burst_seconds)
end
return {'', 0}

-- script: failed
-- KEYS rest · ARGV now, asked-for end ('' for none), failures that make it rest, first rest, longest of these rests,
-- longest of all · answers until when it rests, '' where it does not
local now, longest = tonumber(ARGV[1]), tonumber(ARGV[6])
local held = redis.call('HMGET', KEYS[1], 'until', 'is_trial', 'rests')
local rests_until, rests = tonumber(held[1] or 0), tonumber(held[3] or 0)
-- Those that had asked it before it was left alone say nothing new; the one that tries it again does. An end that is
-- too far off comes from before the clock was set back.
if rests_until > now and rests_until <= now + longest and not held[2] then return string.format('%.3f', rests_until) end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('EXPIRE', KEYS[1], 86400)
if failures < tonumber(ARGV[3]) and rests == 0 then return '' end
local asked_for = tonumber(ARGV[2] ~= '' and ARGV[2] or now) - now
local seconds = math.min(math.max(ARGV[4] * 2 ^ math.min(rests, 20), asked_for), tonumber(ARGV[5]))
rests_until = string.format('%.3f', now + seconds)
redis.call('HSET', KEYS[1], 'until', rests_until, 'rests', rests + 1)
redis.call('HDEL', KEYS[1], 'is_trial')
return rests_until

-- script: spend
-- KEYS refused names of the registered domain, refused registered domains, quotas… · ARGV now, name, names and domains
-- that are many, for each quota four: seconds for one, burst, cost, reserve · answers '' or when there is room
local now, room_at = tonumber(ARGV[1]), 0
local function held(key, member, many)
  local own = tonumber(member and redis.call('ZSCORE', key, member) or 0)
  if own > now then room_at = math.max(room_at, own) end
  local others = redis.call('ZRANGEBYSCORE', key, '(' .. ARGV[1], '+inf', 'WITHSCORES')
  if #others / 2 >= tonumber(many) then room_at = math.max(room_at, tonumber(others[2])) end
end
held(KEYS[1], ARGV[2], ARGV[3])
held(KEYS[2], false, ARGV[4])
local spents = {}
for i = 3, #KEYS do
  local seconds, burst, cost, reserve = unpack(ARGV, 4 * i - 7, 4 * i - 4)
  local spent = earned_back(KEYS[i], now, seconds * burst)
  local after = spent + seconds * (math.max(cost, 1) + reserve)
  if after > now + seconds * burst + 0.01 then room_at = math.max(room_at, after - seconds * burst) end
  spents[i] = spent + seconds * cost
end
if room_at > 0 then return string.format('%.3f', room_at) end
for i = 3, #KEYS do
  if spents[i] > now then spend(KEYS[i], spents[i], ARGV[4 * i - 7] * ARGV[4 * i - 6]) end
end
return ''

-- script: give_back
-- KEYS quotas… · ARGV now, for each quota four: seconds for one, burst, cost, reserve
local now = tonumber(ARGV[1])
for i = 1, #KEYS do
  local seconds, burst, cost = unpack(ARGV, 4 * i - 2, 4 * i)
  spend(KEYS[i], math.max(earned_back(KEYS[i], now, seconds * burst) - seconds * cost, now), seconds * burst)
end

-- script: refused
-- KEYS refused names of the registered domain, refused registered domains · ARGV now, until, name, registered domain
for i, member in ipairs({ARGV[3], ARGV[4]}) do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[1])
  redis.call('ZADD', KEYS[i], ARGV[2], member)
  redis.call('EXPIRE', KEYS[i], 7 * 86400)
end
