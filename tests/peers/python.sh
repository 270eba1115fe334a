#!/usr/bin/env bash
# Prints a Python interpreter that has what the programs beside this script import.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

env=$(venv python 'pyarrow==21.0.0' 'duckdb==1.4.1' 'boto3==1.40.50' 'xxhash==3.6.0' 'pytz==2025.2')
printf '%s\n' "$env/bin/python"
