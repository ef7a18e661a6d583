# shellcheck shell=bash
# Berth on the lab host, for lab tests; sourced, in the source directory.
bin=$PWD/${LAB_BUILD:-build/release}/bin
test_name=$(basename "$0")

berth() { "$bin/berth" "$@"; }

# start_berthd [OPTION...]: starts the daemon and waits until it answers. Sets berthd_pid. Its log grows over restarts.
start_berthd() {
  "$bin/berthd" --vmm "$bin/berth-vmm" --log-level debug "$@" >>"$LAB_LOGS/$test_name.berthd.log" 2>&1 &
  berthd_pid=$!
  for _ in {1..300}; do
    if berth host show >/dev/null 2>&1; then return; fi
    kill -0 "$berthd_pid" 2>/dev/null || break
    sleep 0.2
  done
  echo "berthd does not answer; its log ends:"
  tail -n 20 "$LAB_LOGS/$test_name.berthd.log"
  return 1
}

kill_berthd() {
  kill -9 "$berthd_pid"
  wait "$berthd_pid" 2>/dev/null || true
}

stop_berthd() {
  kill -TERM "$berthd_pid"
  wait "$berthd_pid"
}

# spec FILE KEY=VALUE...: prints a spec of tests/lab/specs with each @KEY@ filled in; @KERNEL@ and @INITRD@ are the lab
# guest's.
spec() {
  local text variables
  text=$(<"tests/lab/specs/$1")
  shift
  variables=$(tests/lab/guest/build)
  eval "$variables"
  # shellcheck disable=SC2154  # From guest/build.
  for pair in "$@" KERNEL="$guest_kernel" INITRD="$guest_initrd"; do text=${text//@${pair%%=*}@/${pair#*=}}; done
  echo "$text"
}

# follow_console GUEST LOG: from now on the guest's console is copied to LOG, and what is written to descriptor 9 is
# typed on it.
follow_console() {
  local typed
  typed=$(mktemp -u)
  mkfifo "$typed"
  exec 9<>"$typed"
  berth guest console "$1" <"$typed" >"$2" 2>"$2.messages" &
}

# await_line SECONDS LOG PATTERN: until a line of LOG has the regular expression.
await_line() {
  local end=$((SECONDS + $1))
  until grep -qE -- "$3" "$2" 2>/dev/null; do
    if ((SECONDS >= end)); then
      echo "no line with '$3' in $2 within $1 s; it ends:"
      tail -n 30 "$2"
      return 1
    fi
    sleep 0.3
  done
}

# await_count SECONDS LOG PATTERN COUNT: until so many lines of it have the pattern.
await_count() {
  local end=$((SECONDS + $1))
  until (($(grep -cE -- "$3" "$2") >= $4)); do
    if ((SECONDS >= end)); then
      echo "not $4 lines with '$3' in $2 within $1 s; it ends:"
      tail -n 30 "$2"
      return 1
    fi
    sleep 0.3
  done
}

# ask COMMAND: has the guest whose console is copied to $log do it, and waits until that has gone well.
# shellcheck disable=SC2154  # log is the test's.
ask() {
  local count
  count=$(grep -c '^report: status=' "$log" || true)
  echo "$1" >&9
  await_count 240 "$log" '^report: status=' $((count + 1))
  expect_equal "the status of '$1'" "$(told status)" 0
}
# told KEY: the last fact of this name that it told.
told() { tr -d '\r' <"$log" | sed -n "s/^report: $1=//p" | tail -n 1; }

# image PATH SIZE FIRST-LINE: makes a raw image.
image() {
  truncate -s "$2" "$1"
  echo "$3" | dd of="$1" conv=notrunc status=none
}

# expect_equal WHAT ACTUAL EXPECTED
expect_equal() {
  if [[ $2 != "$3" ]]; then
    echo "WRONG: $1 should be '$3', is '$2'"
    return 1
  fi
  echo "$1 is $3"
}

# expect_refusal REASON ARGUMENT...: `berth ARGUMENT...` fails for this reason. The message is then in $refusal.
expect_refusal() {
  local reason=$1
  shift
  if refusal=$(berth "$@" 2>&1 >/dev/null); then
    echo "WRONG: 'berth $*' should be refused with $reason, and succeeded"
    return 1
  fi
  echo "$refusal"
  [[ $refusal == *"$reason)"* ]] || { echo "WRONG: the reason should be $reason"; return 1; }
}

# guest_field GUEST FIELD: a field of the guest, as JSON has it.
guest_field() {
  berth guest show "$1" -o json |
    python3 -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1], ""))' "$2"
}

# await_state SECONDS GUEST STATE
await_state() {
  local end=$((SECONDS + $1)) state
  until state=$(guest_field "$2" state); [[ $state == "$3" ]]; do
    if ((SECONDS >= end)); then
      echo "WRONG: $2 should be $3 within $1 s, is $state"
      return 1
    fi
    sleep 0.2
  done
  echo "$2 is $3"
}
