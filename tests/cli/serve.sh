# serve: OpenAI's API over HTTP, as curl sees it; identifiers, times and free ports aside, word for word.
. tests/cli/lib.inc

if ! "$LINNET" serve --model none 2>&1 | grep -q 'none'; then
    echo "skipped: built without libmicrohttpd"
    exit 0
fi
if ! command -v curl >/dev/null 2>&1; then
    echo "skipped: no curl to ask with"
    exit 0
fi

cat >"$tmp/tiny.yaml" <<'YAML'
model: {architecture: qwen3, hidden_size: 32, head_dim: 8, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4}
tokenizer: {vocab_size: 256, splitter: bytes}
train: {iters: 5, batch_size: 4, max_seq_length: 64}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 100k --seed 3 --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" --quiet
status 0
cat >"$tmp/template.jinja" <<'JINJA'
{%- for m in messages -%}{%- if m.role not in ['system', 'user', 'assistant'] -%}{{ raise_exception('what is ' + m.role + '?') }}{%- endif -%}
[{{ m.role }}] {{ m.content }}{{ '\n' }}{%- endfor -%}{%- if add_generation_prompt -%}[assistant]{%- endif -%}
{%- if tools %}{{ tools | length }} tools{% endif -%}{%- if shout %}!!{% endif -%}
JINJA

server=
stop_server() {
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server"
    server=
}
trap 'stop_server; rm -rf "$tmp"' EXIT

# start FLAGS...: $url and $server
start() {
    : >"$tmp/server.err" # the last one's address is not to be found
    "$LINNET" serve --model "$tmp/run" --port 0 --threads 1 "$@" >"$tmp/server.out" 2>"$tmp/server.err" &
    server=$!
    url=
    for attempt in $(seq 240); do
        url=$(sed -n "s/^serving .* at \(http:.*\)/\1/p" "$tmp/server.err")
        [ -n "$url" ] && return
        sleep 0.25
    done
    cat "$tmp/server.err"
    fail "the server did not start"
}

# What is new every time takes the place of a word.
masked() {
    sed -e 's/"id":"\(chat\)*cmpl-[0-9a-f]*"/"id":"ID"/' -e 's/"created":[0-9]*/"created":0/' "$1"
}

# ask PATH [BODY [CURL FLAGS...]]: $tmp/body is the answer, $got the HTTP status
ask() {
    path=$1 body=${2:-}
    shift
    [ $# -gt 0 ] && shift
    shown="$path $body $*"
    : >"$tmp/stdout"
    if [ -n "$body" ]; then
        got=$(curl -s -m 30 -o "$tmp/stdout" -w '%{http_code}' -H 'Content-Type: application/json' -d "$body" "$@" "$url$path")
    else
        got=$(curl -s -m 30 -o "$tmp/stdout" -w '%{http_code}' "$@" "$url$path")
    fi
    cp "$tmp/server.err" "$tmp/stderr"
}
# answers STATUS TEXT
answers() {
    status "$1"
    masked "$tmp/stdout" >"$tmp/masked"
    printf '%s' "$2" >"$tmp/expected"
    cmp -s "$tmp/masked" "$tmp/expected" || { diff "$tmp/masked" "$tmp/expected"; fail "expected exactly: $2"; }
}
# refuses STATUS TYPE PARAM CODE MESSAGE
refuses() {
    param=null
    [ -n "$3" ] && param="\"$3\""
    answers "$1" "{\"error\":{\"message\":\"$5\",\"type\":\"$2\",\"param\":$param,\"code\":\"$4\"}}"
}

start --chat-template "$tmp/template.jinja" --context 200 --slots 2 --queue 3 --max-body 2000
name=run
grep -qx "serving $tmp/run at $url" "$tmp/server.err" || fail "another line"

ask /health
answers 200 '{"status":"ok"}'
ask /v1/models
answers 200 '{"object":"list","data":[{"id":"run","object":"model","created":0,"owned_by":"linnet","context_length":200}]}'

# The text is that of `linnet generate`.
"$LINNET" generate --model "$tmp/run" --prompt 'Once' --temperature 0 --max-tokens 8 --json -q >"$tmp/alone"
text=$(sed 's/.*"text": "\([^"]*\)".*/\1/' "$tmp/alone")
ask /v1/completions '{"prompt": "Once", "temperature": 0, "max_tokens": 8, "unknown": [1], "user": null}'
answers 200 "{\"id\":\"ID\",\"object\":\"text_completion\",\"created\":0,\"model\":\"run\",\"choices\":[{\"text\":\"$text\",\
\"index\":0,\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":8,\
\"total_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":0}}}"
ask /v1/completions '{"prompt": [79, 110, 99, 101], "temperature": 0, "max_tokens": 8, "echo": true}'
answers 200 "{\"id\":\"ID\",\"object\":\"text_completion\",\"created\":0,\"model\":\"run\",\"choices\":[{\"text\":\"Once$text\",\
\"index\":0,\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":8,\
\"total_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":3}}}"
ask /v1/completions '{"prompt": ["Once", [79, 110]], "temperature": 0, "max_tokens": 1, "n": 2}'
status 200
[ "$(grep -o '"index":[0-9]*' "$tmp/stdout" | tr -d '\n')" = '"index":0"index":1"index":2"index":3' ] || fail "not four texts"
grep -q '"prompt_tokens":6,"completion_tokens":4,"total_tokens":10' "$tmp/stdout" || fail "other usage"
ask /v1/completions '{"prompt": "Once", "max_tokens": 0, "echo": true, "logprobs": 1}'
status 200
grep -q '"text":"Once","index":0,"logprobs":{"tokens":\["O","n","c","e"\],"token_logprobs":\[null,-[0-9.]*,-[0-9.]*,-[0-9.]*\],' "$tmp/stdout" ||
    fail "the prompt is not scored"
grep -q '"completion_tokens":0' "$tmp/stdout" || fail "tokens were drawn"

# A bias decides what is said; a stop string is no part of it.
ask /v1/completions '{"prompt": "a", "logit_bias": {"65": 100}, "temperature": 0, "max_tokens": 3, "stream": true,
    "stream_options": {"include_usage": true}}'
chunk='{"id":"ID","object":"text_completion","created":0,"model":"run","choices":[{"text":"A","index":0,"logprobs":null,"finish_reason":null}],"usage":null}'
answers 200 "data: $chunk

data: $chunk

data: $chunk

data: {\"id\":\"ID\",\"object\":\"text_completion\",\"created\":0,\"model\":\"run\",\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":null}

data: {\"id\":\"ID\",\"object\":\"text_completion\",\"created\":0,\"model\":\"run\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":3,\"total_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":0}}}

data: [DONE]

"
ask /v1/completions '{"prompt": "a", "logit_bias": {"65": 100}, "temperature": 0, "stop": ["x", "AAA"]}'
status 200
grep -q '"text":"","index":0,"logprobs":null,"finish_reason":"stop"' "$tmp/stdout" || fail "not stopped"
grep -q '"completion_tokens":3,' "$tmp/stdout" || fail "other usage"

# An answer in a given form, whatever the model would say
for form in '"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": ["yes, yes"]}}}' \
    '"grammar": "root ::= \"\\\"yes, yes\\\"\""'; do
    ask /v1/chat/completions "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"logprobs\": true, $form}"
    status 200
    grep -q '"content":"\\"yes, yes\\"","refusal":null}' "$tmp/stdout" || fail "another answer"
    grep -q '"finish_reason":"stop"' "$tmp/stdout" || fail "another reason"
    [ "$(grep -o '"top_logprobs"' "$tmp/stdout" | wc -l)" = 10 ] || fail "not ten tokens"
done
ask /v1/completions '{"prompt": "x", "response_format": {"type": "json_object"}, "max_tokens": 1}'
grep -q '"text":"{",' "$tmp/stdout" || fail "no object"

# Conversations
ask /v1/chat/completions '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text",
    "text": "lo"}]}], "logit_bias": {"66": 100}, "max_completion_tokens": 2, "logprobs": true, "top_logprobs": 1}'
masked "$tmp/stdout" | sed 's/-[0-9][0-9]*\.[0-9e-]*/L/g' >"$tmp/numbers"
[ "$(sed 's/"top_logprobs":\[{[^}]*}\]/"top_logprobs":T/g' "$tmp/numbers")" = '{"id":"ID","object":"chat.completion","created":0,"model":"run",'\
'"choices":[{"index":0,"message":{"role":"assistant","content":"BB","refusal":null},"logprobs":{"content":['\
'{"token":"B","logprob":L,"bytes":[66],"top_logprobs":T},{"token":"B","logprob":L,"bytes":[66],"top_logprobs":T}]},'\
'"finish_reason":"length"}],"usage":{"prompt_tokens":24,"completion_tokens":2,"total_tokens":26,"prompt_tokens_details":{"cached_tokens":7}}}' ] ||
    fail "another conversation"
ask /v1/chat/completions '{"messages": [{"role": "user", "content": "Hello"}], "logit_bias": {"66": 100}, "max_tokens": 1, "stream": true}'
head='{"id":"ID","object":"chat.completion.chunk","created":0,"model":"run","choices":[{"index":0,"delta":'
answers 200 "data: $head{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}

data: $head{\"content\":\"B\"},\"logprobs\":null,\"finish_reason\":null}]}

data: $head{},\"logprobs\":null,\"finish_reason\":\"length\"}]}

data: [DONE]

"
for extra in '' ', "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"'; do
    ask /v1/chat/completions '{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1'"$extra}"
    grep -q '"prompt_tokens":24' "$tmp/stdout" || fail "another prompt"
done
ask /v1/chat/completions '{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "tools": [{"type": "function"}],
    "chat_template_kwargs": {"shout": true}}'
grep -q '"prompt_tokens":33' "$tmp/stdout" || fail "the template sees neither the tools nor the variable"

# What is wrong, and where
bad() { refuses 400 invalid_request_error "$@"; }
ask /v1/completions '{"prompt": "x",'
bad '' invalid_json "line 1, column 15: not valid JSON: string or '}' expected near end of file"
ask /v1/completions '[]'
bad '' invalid_json 'the body must be a JSON object'
ask /v1/completions '{}'
bad prompt invalid_value '\"prompt\" must be a string, a list of strings, token ids, or a list of such lists'
ask /v1/completions '{"prompt": [1, "x"]}'
bad prompt invalid_value '\"prompt\" must be a string, a list of strings, token ids, or a list of such lists'
ask /v1/completions '{"prompt": [256]}'
bad '' invalid_value "token 256 is none of the model's 256"
ask /v1/completions '{"prompt": "x", "temperature": "hot"}'
bad temperature invalid_value '\"temperature\" must be a number from 0 to 100'
ask /v1/completions '{"prompt": "x", "max_tokens": -1}'
bad max_tokens invalid_value '\"max_tokens\" must be a whole number of 0 or more'
ask /v1/completions '{"prompt": "x", "n": 0}'
bad n invalid_value '\"n\" must be a whole number from 1 to 128'
ask /v1/completions '{"prompt": "x", "n": 6}'
bad '' invalid_value 'asks for 6 texts at once; the queue takes 5'
ask /v1/completions '{"prompt": "x", "stream": 1}'
bad stream invalid_value '\"stream\" must be true or false'
ask /v1/completions '{"prompt": "x", "logit_bias": {"a": 1}}'
bad logit_bias invalid_value '\"logit_bias\" must be an object of token ids and numbers from -100 to 100'
ask /v1/completions '{"prompt": "x", "best_of": 2}'
bad best_of unsupported '\"best_of\" is not supported beyond \"n\"'
ask /v1/completions '{"prompt": "x", "grammar": "root ::= a"}'
status 400
grep -q '"param":"grammar"' "$tmp/stdout" || fail "another field"
ask /v1/completions '{"prompt": "x", "response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/none"}}}}'
status 400
grep -q '"param":"response_format"' "$tmp/stdout" || fail "another field"
long=$(printf '%0201d' 0)
ask /v1/completions "{\"prompt\": \"$long\"}"
bad prompt context_length_exceeded 'the prompt is 201 tokens long; the context is 200 tokens, prompt and answer together'
ask /v1/chat/completions '{"messages": []}'
bad messages invalid_value '\"messages\" must be a list of messages, and not empty'
ask /v1/chat/completions '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}'
bad 'messages[0].content' invalid_value '\"messages[0].content\" must be text: the model reads parts of the type \"text\" alone'
ask /v1/chat/completions '{"messages": [{"role": "cat", "content": "miaow"}]}'
status 400
grep -q 'what is cat?' "$tmp/stdout" || fail "the template's words are missing"
ask /v1/embeddings '{"input": "x"}'
refuses 501 not_supported_error '' unsupported 'the model writes text; it was not made for embeddings'
ask /v1/nothing
refuses 404 not_found_error '' unknown_url 'there is nothing at /v1/nothing'
ask /v1/completions
refuses 405 invalid_request_error '' method_not_allowed '/v1/completions takes POST, not GET'
curl -s -D "$tmp/stdout" -o /dev/null "$url/v1/completions"
grep -qi '^Allow: POST' "$tmp/stdout" || fail "no Allow header"
printf '{"prompt": "%03000d"}' 0 >"$tmp/large"
ask /v1/completions "@$tmp/large"
refuses 413 invalid_request_error '' body_too_large 'the body is larger than 2000 bytes (--max-body)'
printf '{"prompt": "%030000d"}' 0 >"$tmp/large"
ask /v1/completions "@$tmp/large"
status 413
ask /health '' -H 'Host: evil.example'
refuses 403 permission_error '' wrong_host 'the Host header names another machine: evil.example'
ask /v1/completions '{"prompt": "x"}' -H 'Origin: https://evil.example'
refuses 403 permission_error '' wrong_origin 'pages of https://evil.example may not use this server (--cors ORIGIN lets them)'
ask /v1/completions '{"prompt": "x"}' -H "Origin: $url"
status 200

# The page and the counts
curl -s -D "$tmp/stdout" -o "$tmp/page" "$url/"
nonce=$(sed -n "s/^Content-Security-Policy: default-src 'none'; script-src 'nonce-\([0-9a-f]*\)'.*/\1/p" "$tmp/stdout")
[ ${#nonce} = 32 ] || fail "no policy"
[ "$(grep -c "nonce=\"$nonce\"" "$tmp/page")" = 2 ] || fail "script and style do not carry it"
sed "s/$nonce/@NONCE@/" "$tmp/page" | cmp -s - serve/chat_page.html || fail "another page"
ask /metrics
status 200
grep -qx 'linnet_requests_total{endpoint="/v1/completions",status="413"} 2' "$tmp/stdout" || fail "not counted"
grep -qx 'linnet_requests_total{endpoint="other",status="404"} 1' "$tmp/stdout" || fail "not counted"
grep -qx 'linnet_slots 2' "$tmp/stdout" || fail "other slots"
grep -qx 'linnet_slots_busy 0' "$tmp/stdout" || fail "slots are busy"

# A second one on the same port; then the end.
shown="serve on a port in use"
"$LINNET" serve --model "$tmp/run" --port "${url##*:}" >"$tmp/stdout" 2>"$tmp/stderr"
got=$?
failure "cannot listen on 127.0.0.1, port ${url##*:} (--port 0 takes one that is free): Address already in use"
shown="serve until SIGTERM"
kill "$server"
wait "$server"
got=$?
server=
cp "$tmp/server.out" "$tmp/stdout"
cp "$tmp/server.err" "$tmp/stderr"
status 0
out ''
err "linnet: warning: --context 200 is more than the 64 tokens the model was made for
serving $tmp/run at $url
shutting down; once more ends it at once"

# Keys and other origins
printf 'first\n\nsecond\n' >"$tmp/keys"
start --api-key-file "$tmp/keys" --cors https://page.example
grep -qx 'linnet: warning: the model has no chat template: /v1/completions alone answers' "$tmp/server.err" || fail "no warning"
ask /v1/models
refuses 401 authentication_error '' invalid_api_key 'a valid API key is needed: Authorization: Bearer KEY'
ask /v1/models '' -H 'Authorization: Bearer secon'
status 401
ask /v1/models '' -H 'Authorization: Bearer second'
status 200
ask /v1/models '' -H 'Authorization: Bearer second' -H 'Host: proxied.example' -H 'Origin: https://elsewhere.example'
status 200 # the key is proof enough
ask /health
status 200
ask /v1/chat/completions '{"messages": [{"role": "user", "content": "x"}]}' -H 'Authorization: Bearer first'
bad messages no_chat_template 'the model has no chat template; use /v1/completions, or start the server with --chat-template FILE'
curl -s -i -X OPTIONS -H 'Origin: https://page.example' "$url/v1/completions" >"$tmp/stdout"
for line in 'HTTP/1.1 204' 'Access-Control-Allow-Origin: https://page.example' 'Access-Control-Allow-Methods: GET, POST' \
    'Access-Control-Allow-Headers: Authorization, Content-Type'; do
    grep -q "^$line" "$tmp/stdout" || fail "no $line"
done
stop_server

# Adapters: a request has those it names, whatever others have at the same time.
# adapter NAME MODULE OUT ALPHA: rank 1, every number 0x3333 in f16, a quarter
adapter() {
    mkdir -p "$tmp/$1"
    bytes=$((2 * $3))
    module=base_model.model.model.layers.0.$2
    header=$(printf '{"%s.lora_A.weight":{"dtype":"F16","shape":[1,32],"data_offsets":[0,64]},"%s.lora_B.weight":{"dtype":"F16","shape":[%d,1],"data_offsets":[64,%d]}}' \
        "$module" "$module" "$3" $((64 + bytes)))
    {
        printf '\000\002\000\000\000\000\000\000%-512s' "$header"
        head -c $((64 + bytes)) /dev/zero | tr '\000' '\063'
    } >"$tmp/$1/adapter_model.safetensors"
    echo '{"peft_type": "LORA", "r": 1, "lora_alpha": '"$4"'}' >"$tmp/$1/adapter_config.json"
}
adapter out self_attn.o_proj 32 4
adapter up mlp.up_proj 64 32
# of FILE: the text; alone NAME FLAGS...: what `linnet generate` makes of it into text.NAME
of() { printf '%s\n' "$(sed 's/.*"text": *"\([^"]*\)".*/\1/' "$1")"; }
alone() {
    to="$tmp/text.$1"
    shift
    "$LINNET" generate --model "$tmp/run" --prompt 'Once there was' --temperature 0 --max-tokens 12 --json -q "$@" >"$tmp/alone"
    of "$tmp/alone" >"$to"
}
alone plain
alone out --adapter "$tmp/out=3"
alone up --adapter "$tmp/up"
alone both --adapter "$tmp/out=2" --adapter "$tmp/up=-0.2"
[ "$(sort -u "$tmp"/text.* | wc -l)" = 4 ] || fail "the adapters do the same"
once='"prompt": "Once there was", "temperature": 0, "max_tokens": 12'
# writes NAME MODEL [FIELDS]: the text in text.NAME, as the model MODEL
writes() {
    ask /v1/completions "{$once${3:-}}"
    status 200
    of "$tmp/stdout" | cmp -s - "$tmp/text.$1" || fail "another text"
    grep -q "\"model\":\"$2\"" "$tmp/stdout" || fail "another model"
}
start --slots 4 --adapter "$tmp/out=3" --adapter "up:$tmp/up=0"
grep -qx "adapter 1: up, times 0 ($tmp/up)" "$tmp/server.err" || fail "not told"
ask /lora-adapters
answers 200 "[{\"id\":0,\"name\":\"out\",\"path\":\"$tmp/out\",\"scale\":3.0},{\"id\":1,\"name\":\"up\",\"path\":\"$tmp/up\",\"scale\":0.0}]"
ask /v1/models
model='"object":"model","created":0,"owned_by":"linnet","context_length":64'
sed 's/"created":[0-9]*/"created":0/g' "$tmp/stdout" >"$tmp/models"
[ "$(cat "$tmp/models")" = "{\"object\":\"list\",\"data\":[{\"id\":\"run\",$model},{\"id\":\"out\",$model,\"parent\":\"run\"},\
{\"id\":\"up\",$model,\"parent\":\"run\"}]}" ] || fail "other models"
both='"lora": [{"id": 1, "scale": -0.2}, {"id": 0, "scale": 2}]'
for turn in 1 2; do # the second time from the cache
    writes out run
    writes out run ', "model": "anything"'
    writes up up ', "model": "up"'
    writes plain run ', "model": "run", "lora": []'
    writes both run ", $both"
    writes out out ', "model": "out"'
done
grep -q '"cached_tokens":13}' "$tmp/stdout" || fail "nothing was found in the cache"
for turn in 1 2 3 4; do
    for want in 'out' 'up, "model": "up"' 'plain, "lora": []' "both, $both"; do
        printf '{%s%s}' "$once" "${want#"${want%%,*}"}" >"$tmp/body.${want%%,*}.$turn"
    done
done
curls=
for body in "$tmp"/body.*; do
    curl -s -m 30 -o "$tmp/answer.${body##*/body.}" -d "@$body" "$url/v1/completions" &
    curls="$curls $!"
done
# shellcheck disable=SC2086
wait $curls
for body in "$tmp"/body.*; do
    name=${body##*/body.}
    of "$tmp/answer.$name" | cmp -s - "$tmp/text.${name%.*}" || fail "in company $name is another text"
done
ask /lora-adapters '[{"id": 1, "scale": 1}]'
answers 200 '{"success":true}'
ask /lora-adapters
grep -q '"scale":0.0},.*"scale":1.0}]' "$tmp/stdout" || fail "other scales"
writes up run
writes out out ', "model": "out"' # as it was loaded
ask /lora-adapters '[{"id": 0, "scale": 0.1}, {"id": 1, "scale": -7.25}]'
status 200
ask /lora-adapters
grep -q '"scale":0.1},.*"scale":-7.25}]' "$tmp/stdout" || fail "other scales"
ask /lora-adapters '[{"id": 0, "scale": 3}]'
status 200
writes out run
ask /v1/completions '{"prompt": "x", "lora": [{"id": 2, "scale": 1}]}'
bad lora unknown_adapter 'there is no adapter 2; /lora-adapters lists them'
ask /v1/completions '{"prompt": "x", "lora": [{"id": 0, "scale": "1"}]}'
bad lora invalid_value '\"lora\" must be a list of objects whose \"scale\" is a number'
ask /v1/completions '{"prompt": "x", "lora": {"id": 0}}'
bad lora invalid_value '\"lora\" must be a list of objects with an \"id\" and a \"scale\"'
ask /v1/completions '{"prompt": "x", "lora": [{"id": 1, "scale": 1}, {"id": 1, "scale": 2}]}'
bad lora invalid_value 'adapter 1 is named twice'
ask /v1/completions '{"prompt": "x", "lora": [], "model": "up"}'
bad lora invalid_value '\"lora\" and a \"model\" that is an adapter exclude each other'
ask /lora-adapters '[{"id": 7, "scale": 1}]'
bad '' unknown_adapter 'there is no adapter 7; /lora-adapters lists them'
ask /lora-adapters '[{"id": -1, "scale": 1}]'
bad '' invalid_value 'the body must be a list of objects whose \"id\" is the number of an adapter'
ask /lora-adapters '{}'
bad '' invalid_value 'the body must be a list of objects with an \"id\" and a \"scale\"'
ask /lora-adapters '' -X PUT
refuses 405 invalid_request_error '' method_not_allowed '/lora-adapters takes GET, POST, not PUT'
writes out run # refusals changed nothing
stop_server

# What cannot be
run "$LINNET" serve --model "$tmp/run" --port 0 --adapter "run:$tmp/out"
usage_error 'serve ' "--adapter: \"run\" is what the model is called; give the adapter another name: --adapter NAME:$tmp/out"
run "$LINNET" serve
usage_error 'serve ' "missing --model PATH: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"
run "$LINNET" serve --model "$tmp/run" --host no.such.host.invalid --port 0
status 2
run "$LINNET" serve --model "$tmp/run" --api-key ''
usage_error 'serve ' "--api-key: an empty key would let everyone in"
: >"$tmp/keys"
run "$LINNET" serve --model "$tmp/run" --api-key-file "$tmp/keys"
usage_error 'serve ' "$tmp/keys: holds no key"
