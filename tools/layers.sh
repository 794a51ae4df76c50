#!/bin/sh
# The dependency law: a file includes only from its own folder and from folders earlier in the list.
# usage: layers.sh FOLDER...   (in dependency order)
set -eu
status=0
for folder in "$@"; do
    allowed=""
    for other in "$@"; do
        allowed="$allowed $other"
        [ "$other" = "$folder" ] && break
    done
    for file in "$folder"/*.c "$folder"/*.h; do
        [ -e "$file" ] || continue
        for target in $(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file"); do
            case "$target" in
            */*) from=${target%%/*} ;;
            *) echo "$file: includes \"$target\", which is not root-relative"; status=1; continue ;;
            esac
            case " $allowed " in
            *" $from "*) ;;
            *) echo "$file: includes \"$target\": $from/ comes after $folder/"; status=1 ;;
            esac
        done
    done
done
# Each outside library is included by one folder, often by one file.
only() {
    header=$1
    shift
    for file in $(grep -lE "^ *# *include *<$header>" ./*/*.c ./*/*.h 2>/dev/null | sed 's|^\./||'); do
        good=false
        for place in "$@" 'tests/*' 'bench/*'; do
            case "$file" in
            $place) good=true ;;
            esac
        done
        $good || { echo "$file: includes <$header>, which belongs to $* alone"; status=1; }
    done
}
only 'cblas\.h' 'kernels/gemm*.c'
only '.*dnnl\.h' 'kernels/gemm*.c'
only 'hdf5\.h' 'formats/hdf5_*'
only 'yaml\.h' 'base/yaml.c'
only 'jansson\.h' 'base/json.h'
only 'zlib\.h' 'data/*' 'formats/hdf5_chunk.c'
only 'microhttpd\.h' 'serve/http.c'
only 'pcre2\.h' 'tokenizer/*'
only 'histedit\.h' 'cli/line_editor.c'
only 'utf8proc\.h' 'tokenizer/*'
# Ours and the BLAS's threads are set together, in one place.
for file in $(grep -lE '(omp|openblas)_set_num_threads *\(' ./*/*.c | sed 's|^\./||'); do
    [ "$file" = kernels/gemm.c ] || { echo "$file: sets threads; call kernels_set_threads"; status=1; }
done
[ $status = 0 ] && echo "layers: every include points down"
exit $status
