# Sections of a script with the time that each took; sourced by tests/run and .ci/run.

section_names=()
section_seconds=()
section_name=""
skipped=()

end_section() {
  if [[ -n $section_name ]]; then
    local took=$((SECONDS - section_start))
    section_names+=("$section_name")
    section_seconds+=("$took")
    printf -- '--- %s: ok, %d s (%d s in all)\n' "$section_name" "$took" "$SECONDS"
    section_name=""
  fi
}

section() {
  end_section
  section_name=$1
  section_start=$SECONDS
  printf '\n=== %s\n' "$section_name"
}

skip() {
  skipped+=("$1")
  printf 'skipped: %s\n' "$1"
}

slowest_sections() {
  local index
  for index in "${!section_names[@]}"; do
    printf '%6d s  %s\n' "${section_seconds[index]}" "${section_names[index]}"
  done | sort -rn | head -n 10
}

trap 'code=$?; if ((code)) && [[ -n $section_name ]]; then
  printf -- "\n--- %s: FAILED after %d s\n" "$section_name" "$SECONDS" >&2
fi' EXIT
