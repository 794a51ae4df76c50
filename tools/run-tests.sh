#!/bin/sh
# Runs every test binary, then the command-line tests, and closes with one line of totals.
# usage: run-tests.sh BUILD TEST_BINARY...
set -u
build=$1
shift
passed=0 failed=0 skipped=0
log=$build/tests/output.txt
count() { sed -n "s/^\[ *$1 *\] .*/x/p" "$log" | wc -l; }
run_binary() { # binary, what to call it
    if CMOCKA_MESSAGE_OUTPUT=STDOUT "$1" >"$log" 2>&1; then status=0; else status=$?; fi
    ok=$(count OK) skip=$(count SKIPPED) bad=$(count FAILED)
    # cmocka names each failure twice: when it happens and in its closing list
    bad=$((bad / 2))
    [ $status != 0 ] && [ $bad = 0 ] && bad=1
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ $status = 0 ]; then
        printf '  ok    %-40s %3d passed' "$2" "$ok"
        [ "$skip" != 0 ] && printf ', %d skipped' "$skip"
        printf '\n'
        grep '^skipped:' "$log" | sed 's/^/          /'
    else
        printf '  FAIL  %s (exit %d)\n' "$2" "$status"
        grep -v '^\[ *\(OK\|RUN\) *\]' "$log" | tail -40 | sed 's/^/        /'
    fi
}
for binary in "$@"; do
    name=${binary#"$build"/tests/}
    run_binary "$binary" "$name"
    # Gradients of the whole model, with each variant of the kernels; tests of kernels do so themselves.
    if [ "$name" = model/test_decoder ] || [ "$name" = model/test_judge ]; then
        for level in ref avx2; do
            export LINNET_KERNELS=$level
            run_binary "$binary" "$name, $level kernels"
            unset LINNET_KERNELS
        done
    fi
done
for script in tests/cli/*.sh; do
    [ -e "$script" ] || continue
    if sh "$script" >"$log" 2>&1; then
        passed=$((passed + 1))
        printf '  ok    %s\n' "$script"
        grep '^skipped:' "$log" | sed 's/^/          /'
    else
        failed=$((failed + 1))
        printf '  FAIL  %s\n' "$script"
        tail -40 "$log" | sed 's/^/        /'
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
