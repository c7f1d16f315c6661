-- Write a record that the caller has read and changed. Returns the new version; 0 if the record has changed since;
-- -1 if a worker has a lease; or, as text, when the quota has room.
-- args: those of `write`, read_version, now, opens ('1': another issuance, or the open one woken), during_lease ('1': a
-- lease does not matter), seconds and burst of the quota (burst 0: no quota), repairs ('1': in place of a damaged record,
-- whose fields the caller has read as damaged_domain, damaged_issuance, damaged_id and damaged_version)
local is_hash = arg.repairs ~= '1' or redis.call('TYPE', key.record).ok == 'hash'
local held = is_hash and read('version', 'id', 'lease_until', 'served', 'indexes', 'indexed', 'callers_changes') or {}
local refusal = foreign()
if refusal then return refusal end
if arg.repairs == '1' then
  for field, value in pairs(is_hash and read('domain', 'issuance') or {}) do held[field] = value end
  for _, field in ipairs({'domain', 'issuance', 'id', 'version'}) do
    if (held[field] or '') ~= arg['damaged_' .. field] then return 0 end
  end
  held.indexed = nil
  if not string.find(held.version or '', '^%d+$') or #held.version > 12 then held.version = string.format('%d', math.floor(arg.now)) end
elseif (held.version or '0') ~= arg.read_version then
  return 0
end
local now, seconds, burst = tonumber(arg.now), tonumber(arg.seconds), tonumber(arg.burst)
local is_other = held.id ~= arg.id or arg.repairs == '1'
local is_leased = not is_other and tonumber(held.lease_until or 0) > now
-- A worker of a release that does not know callers' changes would lose what it has done.
if is_leased and (arg.during_lease ~= '1' or not is_current(held)) then return -1 end
if burst > 0 then
  local spent = earned_back(key.quota, now, seconds * burst) + seconds
  if spent > now + seconds * burst + 0.01 then return string.format('%.3f', spent - seconds * burst) end
  spend(key.quota, spent, seconds * burst)
end
if arg.repairs == '1' then
  if not is_hash then redis.call('DEL', key.record) end
  for index in pairs(SHORT) do redis.call('ZREM', ROOT .. index, arg.name) end
  return write(held, {'begun', 0, 'lease_until', 0, 'callers_changes', 0})
end
if is_other then return write(held, {'begun', 0, 'lease_until', 0}) end -- a lease of the former issuance ends
if arg.opens == '1' then return write(held, {'begun', 0}) end
local more = is_leased and {'callers_changes', string.format('%d', (tonumber(held.callers_changes) or 0) + 1)} or {}
return write(held, more, true)
