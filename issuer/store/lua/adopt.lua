-- Accept the present store in place of others. Returns its id. args: instead_of (ids), new (an id, if it has none)
local held = redis.call('HMGET', key.identity, 'id', 'lost', 'replaces')
local id, replaces = string.match(held[1] or '', '^%x+$') or arg.new, {}
for former in string.gmatch((held[3] or '') .. ' ' .. (held[2] or '') .. ' ' .. arg.instead_of, '%x+') do
  if former ~= id and not replaces[former] then
    replaces[former] = true
    replaces[#replaces + 1] = former
  end
end
redis.call('HSET', key.identity, 'id', id, 'replaces', table.concat(replaces, ' '))
redis.call('HDEL', key.identity, 'lost')
return id
