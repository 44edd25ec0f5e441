#!/bin/sh
# Writes requirements/*.txt: pinned, hashed, for every supported Python, without any index address. Needs uv.
set -eu
compile() {
    output=$1
    shift
    uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet -o "$output" "$@"
}
compile requirements/core.txt
compile requirements/dev.txt --constraint requirements/core.txt --extra postgres --extra scorers --extra bedrock --extra vertex --group dev
printf 'hatchling\neditables\n' | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet -o requirements/build.txt
