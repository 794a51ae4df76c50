#!/bin/sh
# docs/configuration.md is what the option tables say: `make docs` writes it.
set -eu
"$LINNET" help --configuration | diff - docs/configuration.md
