-- Asks authledger whether a request may pass.
--
--   http-request lua.authledger http://127.0.0.1:7879/check/default
--
-- txn.al_status is 200, 401 or 403 afterwards, or 503 for everything else; txn.al_challenge is what WWW-Authenticate says.
-- On 200 the identity headers of the answer are those of the request.

-- What may hold a credential. Add the headers that your rules name.
local ASKED_WITH = { "authorization", "cookie", "x-session-token" }
-- HAProxy 2.6 tries four times, and waits for each try as long as this: half a second together.
local TIMEOUT_MS = 125

local function check(txn, url)
    local sent = txn.http:req_get_headers()
    local headers = {}
    for _, name in ipairs(ASKED_WITH) do
        -- Every line of it: that there are two is for the check to refuse.
        for _, value in pairs(sent[name] or {}) do
            headers[name] = headers[name] or {}
            table.insert(headers[name], value)
        end
    end

    local answer = core.httpclient():get { url = url, headers = headers, timeout = TIMEOUT_MS }
    local found = answer.headers or {}
    local challenge = found["www-authenticate"]
    txn:set_var("txn.al_challenge", challenge and challenge[0] or "Bearer")

    if answer.status == 200 then
        for name, values in pairs(found) do
            if name:sub(1, 7) == "x-auth-" and values[0] ~= "" then
                txn.http:req_set_header(name, values[0])
            end
        end
    end
    -- Last: nothing passes if any line above fails.
    local is_known = answer.status == 200 or answer.status == 401 or answer.status == 403
    txn:set_var("txn.al_status", is_known and answer.status or 503)
end

core.register_action("authledger", { "http-req" }, check, 1)
