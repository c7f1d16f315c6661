-- Precedes every script. Keys and arguments have names: `key.record`, `arg.now`. `scripts.py` adds ROOT, DUE and OPEN.
local key, arg, number = {}, {}, 0
for name in string.gmatch(ARGV[1], '%S+') do
  number = number + 1
  key[name] = KEYS[number]
end
for i = 2, #ARGV, 2 do arg[ARGV[i]] = ARGV[i + 1] end

-- The error for a store that has another identity than the caller knows, or has lost it; nil for ours, and for callers
-- that know none.
local function foreign()
  if not arg.identity or redis.call('HGET', key.identity, 'id') == arg.identity then return nil end
  return redis.error_reply('FOREIGN the store has another identity')
end

-- The fields of a record's hash, by name.
local function read(...)
  local held, values = {}, redis.call('HMGET', key.record, ...)
  for i, field in ipairs({...}) do held[field] = values[i] or nil end
  return held
end

-- The indexes that a name is in, from lines `key=score`; without lines that are damaged.
local function parse(lines)
  local indexes = {}
  for index, score in string.gmatch(lines or '', '([^=\n]+)=([^\n]+)') do
    if tonumber(score) and (string.find(index, '^agenda:') or string.find(index, '^index:')) then indexes[index] = score end
  end
  return indexes
end
local function format(indexes)
  local lines = {}
  for index, score in pairs(indexes) do lines[#lines + 1] = index .. '=' .. score end
  table.sort(lines)
  return table.concat(lines, '\n')
end

-- Whether `indexes` says where the name is. A process of another release may have written the record since: then
-- `indexed` is not its version, and the name was moved in the due indexes only. A new record is in no index.
local function is_current(held) return not held.version or held.indexed == held.version end

-- Move a name from the indexes that it is in to those that it belongs in. keeps_open: but not in the open indexes.
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

-- Write a record, first all of it in one HSET: if Redis has no memory, it refuses that, and nothing has been written.
-- Adds to the feed if what the edges serve has changed (an entry that serves nothing is a tombstone: the name has been
-- withdrawn), and counts events. Returns the new version.
local function write(held, more, keeps_open)
  local version, after = string.format('%d', (tonumber(held.version) or 0) + 1), parse(arg.indexes)
  if keeps_open then
    local before, is_known = parse(held.indexes), is_current(held)
    for index in pairs(OPEN) do
      after[index] = before[index]
      if not is_known then after[index] = redis.call('ZSCORE', ROOT .. index, arg.name) or nil end
    end
  end
  local is_changed = (held.served or '') ~= arg.served
  redis.call('HSET', key.record, 'domain', arg.domain, 'issuance', arg.issuance, 'id', arg.id, 'version', version,
    'urgent_by', arg.urgent_by, 'ca', arg.ca, 'served', arg.served, 'schema', arg.schema, 'timeline', arg.timeline,
    'indexes', format(after), 'indexed', version, unpack(more))
  move(arg.name, held, after, keeps_open)
  if is_changed and arg.is_lost ~= '1' or arg.is_tombstone == '1' then
    redis.call('XADD', key.changes, 'MAXLEN', '~', 100000, '*', 'name', arg.name, 'served', arg.served)
  end
  for amount, counter in string.gmatch(arg.counts, '(%S+) ([^\n]+)') do
    redis.pcall('HINCRBYFLOAT', key.metrics, counter, amount) -- what is written must not fail for a damaged counter
  end
  return tonumber(version)
end

-- GCRA: what has been spent of a quota, as the moment when all of it is earned back, to the millisecond. A moment
-- further off than a whole burst was stored before the clock was set back.
local function spend(quota, spent, burst_seconds)
  redis.call('SET', quota, string.format('%.3f', spent), 'EX', 2 * math.ceil(burst_seconds))
end
local function earned_back(quota, now, burst_seconds)
  local spent = math.max(tonumber(redis.call('GET', quota) or 0) or 0, now)
  if spent <= now + burst_seconds + 0.01 then return spent end
  spend(quota, now + burst_seconds, burst_seconds)
  return now + burst_seconds
end
