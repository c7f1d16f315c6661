-- Remove a record, and its name from all indexes, if it has not changed since it was read. args: name, id, read_version
local held = read('id', 'version', 'indexes', 'indexed')
if held.id ~= arg.id or held.version ~= arg.read_version then return 0 end
redis.call('DEL', key.record)
held.indexed = nil -- so that the name leaves every due index
move(arg.name, held, {})
redis.call('ZREM', ROOT .. DAMAGED, arg.name)
return 1
