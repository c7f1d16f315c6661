-- Before every script. Keys and arguments have names: `key.record`, `arg.now`. ROOT, DUE and OPEN come from `keys.py`.
local key, arg, number = {}, {}, 0
for name in string.gmatch(ARGV[1], '%S+') do
  number = number + 1
  key[name] = KEYS[number]
end
for i = 2, #ARGV, 2 do arg[ARGV[i]] = ARGV[i + 1] end

-- Fields of a record's hash, by name.
local function read(...)
  local held, values = {}, redis.call('HMGET', key.record, ...)
  for i, field in ipairs({...}) do held[field] = values[i] or nil end
  return held
end

-- Which indexes a name is in, by `key=score` lines.
local function parse(lines)
  local indexes = {}
  for index, score in string.gmatch(lines or '', '([^=\n]+)=([^\n]+)') do indexes[index] = score end
  return indexes
end
local function format(indexes)
  local lines = {}
  for index, score in pairs(indexes) do lines[#lines + 1] = index .. '=' .. score end
  table.sort(lines)
  return table.concat(lines, '\n')
end

-- Whether `indexes` is where the name is. A process of another release may have written the record since (then `indexed`
-- is not its version), and moved the name in the due indexes alone. A record that is new is nowhere.
local function is_current(held) return not held.version or held.indexed == held.version end

-- Move a name from the indexes that it is in to those that it belongs in.
local function move(name, held, after, keeps_open)
  local before, is_known = parse(held.indexes), is_current(held)
  local function is_kept(index) return keeps_open and OPEN[index] end
  for index, score in pairs(after) do
    if before[index] ~= score or (not is_known and DUE[index] and not is_kept(index)) then
      redis.call('ZADD', ROOT .. index, score, name)
    end
  end
  for index in pairs(before) do
    if not after[index] and not is_kept(index) then redis.call('ZREM', ROOT .. index, name) end
  end
  if not is_known then
    for index in pairs(DUE) do
      if not after[index] and not before[index] and not is_kept(index) then redis.call('ZREM', ROOT .. index, name) end
    end
  end
  if not is_known or before['agenda:renew'] and before['agenda:renew'] ~= after['agenda:renew'] then redis.call('ZREM', key.ready, name) end
end

-- Write a record, all of it in one HSET first: a Redis without memory refuses that, and then nothing has been written.
-- Tells the edges when what they serve has changed, and counts events. Returns the new version.
local function write(held, more, keeps_open)
  local version, after = string.format('%d', (tonumber(held.version) or 0) + 1), parse(arg.indexes)
  if keeps_open then
    local before, is_known = parse(held.indexes), is_current(held)
    for index in pairs(OPEN) do
      after[index] = before[index]
      if not is_known then after[index] = redis.call('ZSCORE', ROOT .. index, arg.name) or nil end
    end
  end
  local is_news = (held.served or '') ~= arg.served
  redis.call('HSET', key.record, 'domain', arg.domain, 'issuance', arg.issuance, 'id', arg.id, 'version', version,
    'urgent_by', arg.urgent_by, 'ca', arg.ca, 'served', arg.served, 'schema', arg.schema, 'timeline', arg.timeline,
    'indexes', format(after), 'indexed', version, unpack(more))
  move(arg.name, held, after, keeps_open)
  if is_news then
    redis.call('XADD', key.changes, 'MAXLEN', '~', 100000, '*', 'name', arg.name, 'served', arg.served)
  end
  for counter in string.gmatch(arg.counts, '[^\n]+') do redis.call('HINCRBY', key.metrics, counter, 1) end
  return tonumber(version)
end

-- GCRA: what has been spent, as the moment when all of it is earned back, to the millisecond. One that lies further off
-- than a whole burst comes from before the clock was set back.
local function spend(allowance, spent, burst_seconds)
  redis.call('SET', allowance, string.format('%.3f', spent), 'EX', 2 * math.ceil(burst_seconds))
end
local function earned_back(allowance, now, burst_seconds)
  local spent = math.max(tonumber(redis.call('GET', allowance) or 0), now)
  if spent <= now + burst_seconds + 0.01 then return spent end
  spend(allowance, now + burst_seconds, burst_seconds)
  return now + burst_seconds
end
