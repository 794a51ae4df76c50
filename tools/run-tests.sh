#!/bin/bash
# Runs the command-line tests and every test binary, and closes with one line of totals. Several run at a time
# (TEST_JOBS; as many as there are processors, up to four); results are printed in the order of the list, with the seconds
# that long ones took.
# usage: run-tests.sh BUILD TEST_BINARY...
set -u

# As one of the workers: NUMBER LEVEL PROGRAM. Says when it begins, and how it ended.
if [ "$1" = --one ]; then
    number=$2 level=$3 program=$4
    begin=$SECONDS
    echo "begin $number"
    [ "$level" = - ] || export LINNET_KERNELS=$level
    case $program in
    *.sh) sh "$program" ;;
    *) CMOCKA_MESSAGE_OUTPUT=STDOUT "$program" ;;
    esac >"$TEST_LOGS/$number" 2>&1
    echo "end $number $? $((SECONDS - begin))"
    exit 0
fi

build=$1
shift
export TEST_LOGS=$build/tests/logs
rm -rf "$TEST_LOGS"
mkdir -p "$TEST_LOGS"
# Threads that wait by spinning would only be in the other tests' way.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
jobs=${TEST_JOBS:-$(nproc)}
[ -n "${TEST_JOBS:-}" ] || [ "$jobs" -le 4 ] || jobs=4

programs=() levels=() names=()
add() { # PROGRAM LEVEL NAME
    programs+=("$1") levels+=("$2") names+=("$3")
}
# The scripts first: the longest are among them, and what begins last should be short.
for script in tests/cli/*.sh; do
    add "$script" - "$script"
done
for binary in "$@"; do
    name=${binary#"$build"/tests/}
    add "$binary" - "$name"
    # Gradients of the whole model, with each variant of the kernels; tests of kernels do so themselves.
    if [ "$name" = model/test_decoder ] || [ "$name" = model/test_judge ]; then
        for level in ref avx2; do
            add "$binary" $level "$name, $level kernels"
        done
    fi
done

passed=0 failed=0 skipped=0
count() { grep -c "^\[ *$2 *\] " "$TEST_LOGS/$1"; }
report() { # NUMBER STATUS SECONDS
    local log=$TEST_LOGS/$1 name=${names[$1]} ok=0 skip=0 bad=0
    case ${programs[$1]} in
    *.sh) [ "$2" != 0 ] || ok=1 ;;
    *)
        ok=$(count "$1" OK) skip=$(count "$1" SKIPPED) bad=$(count "$1" FAILED)
        bad=$((bad / 2)) # cmocka names each failure twice: when it happens and in its closing list
        ;;
    esac
    [ "$2" = 0 ] || [ $bad != 0 ] || bad=1
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$2" != 0 ]; then
        printf '  FAIL  %s (exit %d)\n' "$name" "$2"
        grep -v '^\[ *\(OK\|RUN\) *\]' "$log" | tail -40 | sed 's/^/        /'
        return
    fi
    case ${programs[$1]} in
    *.sh) printf '  ok    %s' "$name" ;;
    *) printf '  ok    %-40s %3d passed' "$name" "$ok" ;;
    esac
    [ "$skip" = 0 ] || printf ', %d skipped' "$skip"
    [ "$3" -lt 10 ] || printf ', %d s' "$3"
    printf '\n'
    grep '^skipped:' "$log" | sed 's/^/          /'
}

# Reads what the workers say; a test that is not heard of any more is named while it hangs.
collect() {
    local part line='' what number status seconds next=0 ended=() took=() running=()
    while true; do
        if IFS= read -r -t 300 part; then
            read -r what number status seconds <<<"$line$part"
            line=
            [ "$what" = begin ] && running[number]=${names[number]}
            [ "$what" = end ] && ended[number]=$status took[number]=$seconds && unset "running[number]"
        elif [ $? -gt 128 ]; then # which may be in the middle of a line
            line+=$part
            printf '  no test has ended for five minutes; running:'
            printf ' %s;' "${running[@]}"
            printf '\n'
        else
            break
        fi
        while [ -n "${ended[next]:-}" ]; do
            report "$next" "${ended[next]}" "${took[next]}"
            next=$((next + 1))
        done
    done
    for ((; next < ${#names[@]}; next++)); do # whose worker was killed, or that never began
        : >>"$TEST_LOGS/$next"
        report "$next" "${ended[next]:-255}" "${took[next]:-0}"
    done
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
}

for number in "${!programs[@]}"; do
    echo "$number ${levels[number]} ${programs[number]}"
done | xargs -P "$jobs" -L 1 "$0" --one | collect
