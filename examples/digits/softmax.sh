#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# softmax.sh [COLMEIA]: how a command-line program becomes a trainer (docs/trainer.md): here `colmeia model train`, the
# program COLMEIA or the one on PATH. It cannot listen while it trains, so a cancel is answered when that is done, or by the
# worker's signal. Paths with a quote or a backslash are more than its sed understands.
set -u
colmeia=${1:-colmeia}
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
trap 'exit 1' TERM INT

value() { # NAME: of that member of the JSON object on stdin, a text or a number
    sed -n -e "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" -e t -e "s/.*\"$1\": *\([^\",}]*\).*/\1/p"
}
field() { # NAME: of the message
    printf '%s\n' "$line" | value "$1"
}
plan() { # what the message asks for, as a plan file; the seed is 60 bits of the message's
    echo "seed = $((0x$(field seed | cut -c1-15)))"
    printf '[study]\nname = "softmax"\n[model]\narchitecture = "softmax"\nfeatures = 64\nclasses = 10\n'
    printf '[data]\ntarget = "digit"\n[rounds]\nschedule = ["fedavg 1"]\nminimum = 1\n[training]\n'
    for name in epochs steps batch learning_rate momentum weight_decay proximal; do
        case $name$(field $name) in epochs0 | steps0) ;; *) echo "$name = $(field $name)" ;; esac
    done
}
work() { # metrics of the base, then the training; fails with what the program said in $here/said
    metrics=$("$colmeia" model evaluate --model "$(field base)" --data "$(field data)" --target digit --json 2>"$here/said") || return
    [ "$(field type)" = evaluate ] && return
    plan >"$here/plan.toml"
    "$colmeia" model train --plan "$here/plan.toml" --model "$(field base)" --data "$(field data)" --rounds 1 \
        -o "$(field output)" >"$here/said" 2>&1
}

while IFS= read -r line; do
    id=$(field id)
    case $(field type) in
    hello) echo '{"type":"hello","contract":1,"name":"softmax","version":"1","capabilities":["train","evaluate"]}' ;;
    train | evaluate)
        if work </dev/null; then
            number() { echo "$metrics" | value "$1"; }
            echo "{\"type\":\"done\",\"id\":$id,\"examples\":$(number examples)," \
                "\"metrics\":{\"loss\":$(number loss),\"accuracy\":$(number accuracy)}}"
        else
            echo "{\"type\":\"error\",\"id\":$id,\"message\":\"$(tr -d '"\\\n' <"$here/said" | cut -c1-300)\"}"
        fi
        ;;
    cancel) echo "{\"type\":\"cancelled\",\"id\":$id}" ;;
    bye) exit 0 ;;
    esac
done
