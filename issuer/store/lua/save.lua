-- Write the record of a worker that has a lease, and release the lease if asked. Returns the new version; 0 if the
-- lease was lost; -1 if the worker has the lease, and only callers' changes were written since it read the record.
-- args: those of `write`, read_version, lease_until, callers_changes, release ('1' or ''), attempts_started
local held = read('version', 'id', 'lease_until', 'served', 'indexes', 'indexed', 'callers_changes')
if held.id ~= arg.id or tonumber(held.lease_until or 0) ~= tonumber(arg.lease_until) then return 0 end
local writes_since = (tonumber(held.version) or 0) - arg.read_version
if writes_since > 0 and writes_since == (tonumber(held.callers_changes) or 0) - arg.callers_changes then return -1 end
if writes_since ~= 0 then return 0 end
if arg.release == '1' then return write(held, {'lease_until', 0, 'begun', arg.attempts_started}) end
return write(held, {}, true)
