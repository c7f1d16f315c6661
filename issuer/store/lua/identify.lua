-- The identity of the store: id, the one that it has lost, and those that it replaces. A store that is used for the first
-- time gets one; a store without one is marked by whoever knows that it had one, for those who do not know.
-- args: known (the id that the caller knows, '' for none), new (an id for a new store), marks ('1': leave a mark)
local held = redis.call('HMGET', key.identity, 'id', 'lost', 'replaces')
local id, lost, replaces = held[1] or '', held[2] or '', held[3] or ''
if not string.find(id, '^%x+$') then id = '' end -- damaged
if id == '' and lost == '' and arg.known == '' then
  id = arg.new
  redis.call('HSET', key.identity, 'id', id)
elseif id == '' and lost == '' and arg.marks == '1' then
  lost = arg.known
  redis.call('HSET', key.identity, 'lost', lost)
end
return {id, lost, replaces}
