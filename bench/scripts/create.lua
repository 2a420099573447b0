-- wrk -s create.lua http://127.0.0.1:PORT -- FILE
-- Asks for payouts of merchants at random, each under a key of its own. FILE has an API key in each line. Prints what came of it
-- as JSON; an answer that is not 201 is counted apart.
local body = '{"amount_paise":100,"bank_account_id":"demo-bank-account"}'
local heads, run, asked = {}, nil, 0
refused, status = 0, 0 -- global: done() asks for them

function setup(thread)
   running = thread
end

function init(arguments)
   local seed = io.open("/dev/urandom", "rb"):read(8)
   run = seed:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
   math.randomseed(tonumber(run:sub(1, 8), 16))
   for key in io.lines(arguments[1]) do
      heads[#heads + 1] = "POST /api/v1/payouts/ HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port
         .. "\r\nContent-Type: application/json\r\nContent-Length: " .. #body
         .. "\r\nAuthorization: Api-Key " .. key .. "\r\nIdempotency-Key: " .. run .. "-"
   end
end

function request()
   asked = asked + 1
   return heads[math.random(#heads)] .. asked .. "\r\n\r\n" .. body
end

function response(code)
   if code ~= 201 then
      refused, status = refused + 1, code
   end
end

function done(summary)
   local errors = summary.errors
   print(('{"answered":%d,"seconds":%f,"refused":%d,"status":%d,"broken":%d}'):format(
      summary.requests, summary.duration / 1e6, running:get("refused"), running:get("status"),
      errors.connect + errors.read + errors.write + errors.timeout
   ))
end
