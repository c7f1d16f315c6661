-- Lease an open issuance. Returns the fields of its record; nothing if the issuance is stale, closed or leased. A record
-- whose numbers are damaged is returned as it is, without a lease, so that the caller finds that out.
-- args: name, id, now, until
local fields = redis.call('HGETALL', key.record)
local held = {}
for i = 1, #fields, 2 do held[fields[i]] = fields[i + 1] end
if #fields > 0 and not (tonumber(held.version) and tonumber(held.lease_until or 0)) then return fields end
if held.id ~= arg.id or tonumber(held.lease_until or 0) > tonumber(arg.now) then return false end
local indexes, queue = parse(held.indexes), nil
local is_known = is_current(held)
for index in pairs(OPEN) do
  if is_known and indexes[index] then queue = index end
end
for index in pairs(OPEN) do -- a process of another release has written it, or its indexes are damaged
  if not queue and redis.call('ZSCORE', ROOT .. index, arg.name) then queue = index end
end
if not queue then return false end
local version = string.format('%d', tonumber(held.version) + 1)
local changes = {'lease_until', arg['until'], 'version', version, 'begun', string.format('%d', (tonumber(held.begun) or 0) + 1)}
if is_known then
  indexes[queue] = arg['until']
  for _, text in ipairs({'indexes', format(indexes), 'indexed', version}) do changes[#changes + 1] = text end
end
redis.call('HSET', key.record, unpack(changes))
redis.call('ZADD', ROOT .. queue, arg['until'], arg.name)
for i = 1, #changes, 2 do held[changes[i]] = changes[i + 1] end
local answer = {}
for field, value in pairs(held) do
  answer[#answer + 1] = field
  answer[#answer + 1] = value
end
return answer
