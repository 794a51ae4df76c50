#!/bin/sh
# Fuzzes parsers with libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer.
# usage: fuzz.sh SECONDS tests/fuzz/fuzz_NAME.c...
# Starts from the seeds in tests/fuzz/corpus/NAME; what it finds goes to build/fuzz/corpus/NAME and
# a crash to build/fuzz/crashes/NAME-*, to be copied into the seeds once mended (tests replay those).
set -eu
seconds=$1
shift
[ $# -gt 0 ] || { echo "fuzz.sh: no fuzzers given" >&2; exit 2; }
if ! command -v clang >/dev/null 2>&1; then
    echo "fuzz.sh: clang is needed (apt-get install clang)" >&2
    exit 1
fi

# One thread, and no OpenMP run-time to look for: calls to it get these answers.
mkdir -p build/fuzz/include build/fuzz/crashes
cat >build/fuzz/include/omp.h.new <<'END'
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_num_procs(void) { return 1; }
static inline int omp_in_parallel(void) { return 0; }
static inline void omp_set_num_threads(int n) { (void)n; }
static inline void omp_set_dynamic(int dynamic) { (void)dynamic; }
END
cmp -s build/fuzz/include/omp.h.new build/fuzz/include/omp.h ||
    cp build/fuzz/include/omp.h.new build/fuzz/include/omp.h

binaries=""
for fuzzer in "$@"; do
    binaries="$binaries build/fuzz/${fuzzer%.c}"
done
# shellcheck disable=SC2086
make --no-print-directory -j"$(nproc)" BUILD=build/fuzz CC=clang CFLAGS="-O1 -g -fno-openmp \
-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
-Ibuild/fuzz/include -Wno-unknown-pragmas -Wno-source-uses-openmp" $binaries

status=0
for binary in $binaries; do
    name=${binary##*/fuzz_}
    seeds=tests/fuzz/corpus/$name found=build/fuzz/corpus/$name log=build/fuzz/$name.log
    mkdir -p "$found"
    [ -d "$seeds" ] || { echo "fuzz.sh: $seeds is missing" >&2; exit 1; }
    if "$binary" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/crashes/$name-" "$found" "$seeds" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        cover=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
        printf '  ok    %-20s %s inputs in %s seconds, %s edges covered\n' "$name" "$runs" \
            "$seconds" "$cover"
    else
        status=1
        printf '  FAIL  %s\n' "$name"
        grep -v '^#' "$log" | tail -40 | sed 's/^/        /'
    fi
done
exit $status
