#!/usr/bin/env bash
# datamodel-code-generator 0.89.0: a length beside `oneOf: [string, null]` makes the string an object of its own class.
#
# `{"oneOf": [{"type": "string"}, {"type": "null"}], "maxLength": 50}` is how Litestar 2.25 and others describe a
# text that may be null and has a length. Without maxLength the field is `str | None`. With it the generator makes
# two classes, `Plan` and `Plan1` (of null), and the value read is `Plan(root='monthly')`, which is no str and equals none:
# a comparison with the text that was sent is false, silently.
#
# Seen: what pydantic reads with the generated class, with and without the length. Expected: a str in both cases.
# Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    datamodel-code-generator==0.89.0 pydantic==2.14.0

write() { # NAME EXTRA: the class of an order whose plan may be null
    printf '{"title": "Order", "type": "object", "required": ["plan"], "properties": {"plan": {%s}}}' \
        "\"oneOf\": [{\"type\": \"string\"}, {\"type\": \"null\"}]$2" >"$folder/$1.json"
    "$folder/venv/bin/datamodel-codegen" --input "$folder/$1.json" --input-file-type jsonschema \
        --output-model-type pydantic_v2.BaseModel --output "$folder/$1.py" 2>/dev/null
}
write plain ''
write limited ', "maxLength": 50'

cat >"$folder/read.py" <<'PYTHON'
import limited
import plain

sent = {"plan": "monthly"}
values = [each.Order.model_validate(sent).plan for each in (plain, limited)]
print(values)
assert values[0] == "monthly", "the field without a length is read otherwise by now"
assert not isinstance(values[1], str) and values[1] != "monthly", "a length leaves the text a str by now"
PYTHON

(cd "$folder" && venv/bin/python read.py)
echo "datamodel-code-generator 0.89.0: with a length, a text that may be null is no str"
