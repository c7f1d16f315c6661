-- Write the record of a lease in hand, and give the lease back where that is asked for. Answers the new version; 0 where
-- the lease is lost, -1 where it is not, and nothing but callers' changes came between.
-- args: those of `write`, read_version, lease_until, callers_changes, release ('1' or ''), begun
local held = read('version', 'id', 'lease_until', 'served', 'indexes', 'indexed', 'callers_changes')
if held.id ~= arg.id or tonumber(held.lease_until or 0) ~= tonumber(arg.lease_until) then return 0 end
local came_between = held.version - arg.read_version
if came_between > 0 and came_between == (held.callers_changes or 0) - arg.callers_changes then return -1 end
if came_between ~= 0 then return 0 end
if arg.release == '1' then return write(held, {'lease_until', 0, 'begun', arg.begun}) end
return write(held, {}, true)
