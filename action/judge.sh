#!/usr/bin/env bash
# The last step of action.yml: ends as the run ended. In: EXIT_CODE (empty: the run's step itself failed).
set -euo pipefail
case ${EXIT_CODE:-3} in
  0) ;;
  1) echo "::error::tare: a gate was missed; the run's log and the step's summary name it" ;;
  *) echo "::error::tare: the run ended with exit code ${EXIT_CODE:-3}; the run's log says why" ;;
esac
exit "${EXIT_CODE:-3}"
