#!/usr/bin/env bash
# A step of action.yml: the run, with its gates. What it ends with is kept for the last step, so that the report is
# kept and commented whatever it says. In: PROGRAM, CONFIG, ARGS (split as a shell does, but nothing in them is run).
set -euo pipefail
folder=$RUNNER_TEMP/tare-report
while [ -e "$folder" ]; do folder=${folder}_; done
args=()
[ -z "$CONFIG" ] || args+=("$CONFIG")
if [ -n "$ARGS" ]; then
  # Not read in a process substitution: a quote that is left open must be an error.
  words=$(xargs -n 1 printf '%s\n' <<<"$ARGS") || {
    echo "::error::tare: the input \`args\` has a quote that is not closed"
    exit 2
  }
  [ -z "$words" ] || mapfile -t -O "${#args[@]}" args <<<"$words"
fi
code=0
"$PROGRAM" run ${args[@]+"${args[@]}"} --output "$folder" --junit "$folder.xml" --step-summary "$GITHUB_STEP_SUMMARY" || code=$?
# A run that was refused has no folder.
mkdir -p "$folder"
[ ! -e "$folder.xml" ] || mv "$folder.xml" "$folder/junit.xml"
report=''
for name in report.md sweep.md; do
  if [ -z "$report" ] && [ -e "$folder/$name" ]; then report=$folder/$name; fi
done
{
  echo "exit-code=$code"
  echo "folder=$folder"
  echo "report=$report"
} >>"$GITHUB_OUTPUT"
