-- Remove a record that is still as it was read, and its name from all indexes. args: name, id, read_version
local held = read('id', 'version', 'indexes', 'indexed')
if held.id ~= arg.id or held.version ~= arg.read_version then return 0 end
redis.call('DEL', key.record)
held.indexed = nil -- so that no due index is left out
move(arg.name, held, {})
return 1
