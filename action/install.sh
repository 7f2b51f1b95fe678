#!/usr/bin/env bash
# A step of action.yml: puts the released program on the PATH, after its checksum was found right.
# In: VERSION (empty: the action's own tag), PROGRAM (a program that is there already), REPOSITORY, and GitHub's own.
set -euo pipefail
if [ -n "$PROGRAM" ]; then
  program=$(realpath "$PROGRAM")
else
  version=${VERSION:-${ACTION_REF-}}
  version=${version#v}
  if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+ ]]; then
    echo "::error::tare: expected a version such as 0.1.0, found \`$version\`: give the input \`version\`, or use the action at a release's tag"
    exit 2
  fi
  case $(uname -sm) in
    'Linux x86_64') target=x86_64-unknown-linux-gnu ;;
    'Linux aarch64') target=aarch64-unknown-linux-gnu ;;
    *) echo "::error::tare: there is no release for $(uname -sm): build it, and give the input \`program\`"; exit 2 ;;
  esac
  name=tare-$version-$target
  from=$GITHUB_SERVER_URL/$REPOSITORY/releases/download/v$version
  folder=$RUNNER_TEMP/tare-$version
  mkdir -p "$folder"
  cd "$folder"
  for file in "$name.tar.gz" SHA256SUMS; do
    curl --fail --silent --show-error --location --retry 3 --output "$file" "$from/$file"
  done
  if ! grep -F "  $name.tar.gz" SHA256SUMS | sha256sum --check --strict -; then
    echo "::error::tare: $name.tar.gz is not what SHA256SUMS of v$version says; nothing of it was run"
    exit 2
  fi
  tar -xzf "$name.tar.gz"
  program=$folder/$name/tare
fi
"$program" --version
echo "program=$program" >>"$GITHUB_OUTPUT"
dirname "$program" >>"$GITHUB_PATH"
