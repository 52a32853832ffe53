-- Decides over all limits of one request at once. The arithmetic is that of sluice_core::window::Ledger, where it is
-- explained; a test holds the two together.
--
-- KEYS   per bucket: a hash (`slots`: start of a slot in ms -> amount used, as MessagePack, which is read in half the
--        time of as many fields; `held`: sum of the leases) and a sorted set of leases (`<lease id>:<amount>` by the
--        time in ms at which it expires; one that has expired unsettled is remembered as `<lease id>:late:0`). All in
--        one hash slot.
-- ARGV   op: reserve | settle | renew | peek
--        now in ms; 0: the server's clock
--        lease id
--        lease time in ms; to settle: 1 if this was tried before, else 0
--        then per bucket: window in ms (0: none), limit, amount held, amount used (to settle)
-- reply  1 if admitted else 0; the bucket that refuses, from 0, or -1;
--        then, of reserve and peek, per bucket: level, frees in ms, resets in ms, held;
--        of settle, per bucket: by how much this lifted it above its limit
--
-- All numbers are whole and below 2^53, where doubles are exact. Only text() turns one into an argument: left to
-- itself, the server may write 1e+15, which it does not read as a number again.

local MAX = 9007199254740991
local SLOTS = 60
local MAX_DEBT_WINDOWS = 100
local MAX_EXPIRED = 200      -- leases removed per bucket and call, so that no call takes long
local SPARE_MS = 60000       -- keys live that much longer than needed, so their time need not be set on every call
local LATE_MS = 660000       -- longer than a gateway tries to settle: so long a lease is known not to be settled yet
local LATE = ':late:0'

local op, now, lease = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local third = tonumber(ARGV[4])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function text(number) return string.format('%.0f', number) end
local function plus(a, b)
  local sum = a + b
  return sum < MAX and sum or MAX
end
local function amount_of(member) return tonumber(string.match(member, ':(%d+)$')) end

-- A bucket's window: length of a slot, distance of two portions of debt, start of the slot of now.
local function geometry(b)
  b.slot_ms = math.max(1, math.ceil(b.per / SLOTS))
  b.span_ms = math.ceil(b.per / b.slot_ms) * b.slot_ms
  b.current = now - now % b.slot_ms
end

local function end_of(b, start) return start + b.slot_ms + b.per end

-- Reads the sum of the leases and the slots that still count; what is left of them is written.
local function read_slots(b)
  local fields = redis.call('HMGET', b.hash, 'held', 'slots')
  b.recorded = tonumber(fields[1] or nil)
  if not fields[2] then return end
  for start, amount in pairs(cmsgpack.unpack(fields[2])) do
    if b.per > 0 and end_of(b, start) > now then
      b.slots[start] = amount
      b.used = plus(b.used, amount)
      if start > b.last then b.last = start end
    else
      b.rewrite = true
    end
  end
end

-- Leases that have expired give way to a mark that holds nothing: whoever comes to settle one of them after an outage,
-- and does not know whether its first attempt arrived, finds by the mark that it did not.
local function forget(b, expired)
  redis.call('ZREM', b.leases, unpack(expired))
  if b.per == 0 then return end
  local marks = {}
  for _, member in ipairs(expired) do
    if string.sub(member, -#LATE) ~= LATE then
      marks[#marks + 1] = text(now + LATE_MS)
      marks[#marks + 1] = string.match(member, '^(.*):%d+$') .. LATE
    end
  end
  if #marks == 0 then return end
  redis.call('ZADD', b.leases, unpack(marks))
  b.late_until = now + LATE_MS
end

-- Reads what is held. The sum stands in the hash; it is made anew if one of the two keys is gone, as it may be where
-- memory is short. To settle, this lease is given back here, before those that have expired are removed.
local function read_held(b)
  b.held = b.recorded or 0
  if op == 'settle' then
    if redis.call('ZREM', b.leases, b.member) == 1 then
      b.settled = true
      b.held = b.held - b.amount
      b.returned = b.amount
    else
      b.settled = redis.call('ZREM', b.leases, lease .. LATE) == 1
    end
  end
  local expired = redis.call('ZRANGEBYSCORE', b.leases, '-inf', text(now), 'LIMIT', 0, MAX_EXPIRED)
  for _, member in ipairs(expired) do b.held = b.held - amount_of(member) end
  if #expired > 0 and op ~= 'peek' then forget(b, expired) end
  if redis.call('EXISTS', b.leases) == 0 then
    b.held = 0
  elseif not b.recorded then
    b.held = 0
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', b.leases, '(' .. text(now), '+inf')) do
      b.held = plus(b.held, amount_of(member))
    end
  end
  b.held = math.max(b.held, 0)
end

local function read(i)
  local at = 4 * i
  local b = {
    hash = KEYS[2 * i - 1], leases = KEYS[2 * i],
    per = tonumber(ARGV[at + 1]), limit = tonumber(ARGV[at + 2]),
    amount = tonumber(ARGV[at + 3]), actual = tonumber(ARGV[at + 4]),
    member = lease .. ':' .. ARGV[at + 3],
    slots = {}, used = 0, last = 0,
  }
  if b.per > 0 then geometry(b) end
  read_slots(b)
  read_held(b)
  return b
end

-- Makes a key live until a time; never shortens its life, for another gateway's leases may be longer.
local function keep(key, until_ms)
  local needed = until_ms - now + SPARE_MS
  if redis.call('PTTL', key) < needed then redis.call('PEXPIRE', key, text(needed + SPARE_MS)) end
end

-- Writes what has changed.
local function write(b)
  local changed = b.held ~= (b.recorded or 0)
  if changed then redis.call('HSET', b.hash, 'held', text(b.held)) end
  if b.rewrite then redis.call('HSET', b.hash, 'slots', cmsgpack.pack(b.slots)) end
  local until_ms = b.held_until or now
  if b.last > 0 then until_ms = math.max(until_ms, end_of(b, b.last)) end
  if changed or b.rewrite then keep(b.hash, until_ms) end
  local leases_until = b.late_until or 0
  if b.held_until then leases_until = math.max(leases_until, b.held_until + (b.per > 0 and LATE_MS or 0)) end
  if leases_until > 0 then keep(b.leases, leases_until) end
end

-- Takes the lease, or moves its end.
local function hold(b)
  b.held_until = now + third
  if redis.call('ZADD', b.leases, text(b.held_until), b.member) == 1 then
    b.held = plus(b.held, b.amount)
    if op == 'renew' then redis.call('ZREM', b.leases, lease .. LATE) end
  end
end

local function add(b, start, amount)
  if amount == 0 then return end
  b.slots[start] = plus(b.slots[start] or 0, amount)
  b.used = plus(b.used, amount)
  b.last = math.max(b.last, start)
  b.rewrite = true
end

local function used_within(b, after, upto)
  local sum = 0
  for start, amount in pairs(b.slots) do
    if after < start and start <= upto then sum = plus(sum, amount) end
  end
  return sum
end

-- Books an amount as used now. What goes beyond the limit is debt: dated into the future, one limit per window.
local function book(b, amount)
  local fits = math.min(amount, math.max(b.limit - b.used, 0))
  add(b, b.current, fits)
  local debt = amount - fits
  local horizon = b.current + b.span_ms * MAX_DEBT_WINDOWS
  local due = math.min(b.last > b.current and b.last or b.current + b.span_ms, horizon)
  while debt > 0 do
    local part = debt
    if due < horizon then
      part = math.min(debt, math.max(b.limit - used_within(b, due - b.span_ms, due), 0))
    end
    add(b, due, part)
    debt = debt - part
    due = math.min(due + b.span_ms, horizon)
  end
end

local function level(b) return plus(b.used, b.held) end

-- By how much the amount wanted is too much now.
local function excess(b) return math.max(level(b) - math.max(b.limit - b.amount, 0), 0) end

-- When so much of what is booked no longer counts; what is held counts as if it were booked now.
local function slots_free(b, amount)
  local starts, freed = {}, 0
  for start in pairs(b.slots) do starts[#starts + 1] = start end
  if not b.slots[b.current] then starts[#starts + 1] = b.current end
  table.sort(starts)
  for _, start in ipairs(starts) do
    freed = plus(freed, (b.slots[start] or 0) + (start == b.current and b.held or 0))
    if freed >= amount then return end_of(b, start) end
  end
  return now
end

-- When leases of so much have expired.
local function leases_free(b, amount)
  local members = redis.call('ZRANGEBYSCORE', b.leases, '(' .. text(now), '+inf', 'WITHSCORES', 'LIMIT', 0, MAX_EXPIRED)
  local freed, last = 0, now
  for i = 1, #members, 2 do
    freed, last = plus(freed, amount_of(members[i])), tonumber(members[i + 1])
    if freed >= amount then break end
  end
  return last
end

-- By how much it is above its limit, with so much more in it.
local function above(b, more) return math.max(plus(level(b), more) - b.limit, 0) end

local function settle(b)
  local before = above(b, b.returned or 0)
  book(b, b.actual)
  b.lifted = math.max(above(b, 0) - before, 0)
end

local function frees_in(b)
  local amount = excess(b)
  if amount == 0 then return 0 end
  return math.max((b.per > 0 and slots_free or leases_free)(b, amount) - now, 1)
end

local function resets_in(b)
  if b.per == 0 then
    local last = redis.call('ZRANGE', b.leases, -1, -1, 'WITHSCORES')[2]
    return last and math.max(tonumber(last) - now, 0) or 0
  end
  local last = b.held > 0 and math.max(b.last, b.current) or b.last
  return last > 0 and end_of(b, last) - now or 0
end

local buckets = {}
for i = 1, #KEYS / 2 do buckets[i] = read(i) end

-- Of the buckets that refuse, the one that frees last.
local refusing, longest = -1, 0
if op == 'reserve' or op == 'peek' then
  for i, b in ipairs(buckets) do
    b.frees_in = frees_in(b)
    if b.frees_in > longest then refusing, longest = i - 1, b.frees_in end
  end
end

for _, b in ipairs(buckets) do
  if (op == 'reserve' and refusing == -1) or op == 'renew' then
    hold(b)
  elseif op == 'settle' and b.per > 0 and (b.settled or third == 0) then
    settle(b)
  end
  if op ~= 'peek' then write(b) end
end

local reply = { refusing == -1 and 1 or 0, refusing }
if op == 'reserve' or op == 'peek' then
  for _, b in ipairs(buckets) do
    reply[#reply + 1] = level(b)
    reply[#reply + 1] = b.frees_in
    reply[#reply + 1] = resets_in(b)
    reply[#reply + 1] = b.held
  end
elseif op == 'settle' then
  for _, b in ipairs(buckets) do reply[#reply + 1] = b.lifted or 0 end
end
return reply
